// ConstraintFeatures: what the author of a space compares in its constraints, as numbers a model can learn from.
//
// "block_x*block_y <= 1024" says that the product matters, not only that it is bounded: threads of a block, bytes of a tile, work of a
// thread stand in constraints because hardware counts them. So each side of a comparison that joins two parameters or more is a feature;
// of a divisibility "A % B == 0" it is the quotient A/B, how often B fits.
#pragma once

#include <string>
#include <vector>

#include "costmodel/feature_function.h"
#include "space/space.h"

namespace lathe {

// The texts, each once, in the order of the constraints.
std::vector<std::string> ConstraintFeatureTexts(const Space& space);

// Empty when the constraints join no parameters. `space` outlives the function. One thread at a time.
FeatureFunction ConstraintFeatures(const Space& space);

}  // namespace lathe
