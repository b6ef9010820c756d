// What is wrong with a JSON text, as a clause for people: the JSON library names its exception's number and its parser's states.
//
//   "line 2, column 9: found '}' where a value was expected"
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lathe {

std::string JsonMistake(const nlohmann::json::exception& failure);

}  // namespace lathe
