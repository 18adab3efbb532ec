// libjpeg-turbo 2.1, by its TurboJPEG interface: libjpeg's own reports errors by longjmp, which Swift can't take.
#pragma once
#include <turbojpeg.h>
