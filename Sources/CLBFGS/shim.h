// libLBFGS 1.10: limited-memory BFGS (Okazaki; Nocedal 1980).
#pragma once
#include <lbfgs.h>
