// libpng 1.6, of which the simplified interface (png_image) is used: the other reports errors by longjmp.
#pragma once
#include <png.h>
