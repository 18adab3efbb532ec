// stb_image_resize 0.97, compiled in Debian's libstb.
#pragma once
#include <stb/stb_image_resize.h>
