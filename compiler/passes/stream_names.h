/* Names that stream and the sessions that run its result agree on. */
#pragma once
#define STEP_SYMBOL     "P" /* new tokens of an advance */
#define CAPACITY_SYMBOL "C" /* rows of a cache */
