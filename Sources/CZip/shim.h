// libzip 1.7: writes zip archives, those above 4 GB too.
#pragma once
#include <zip.h>
