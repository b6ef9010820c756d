// A measurement as JSON, without loss: the native exchange format, and what a measurement's uid is the hash of.
//
// Numbers that JSON cannot write (a wrong result's deviation may be NaN) are the strings "nan", "inf", "-inf". A config keeps the order
// of its parameters, hence ordered_json. Text is made valid UTF-8 first: a crashing compiler's last words may not be.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/measurement.h"
#include "core/result.h"

namespace lathe {

// Invalid bytes become U+FFFD.
std::string ValidUtf8(const std::string& text);

// Everything but ticket: {"operator", "workload", "template", "template_hash", "config", "status", "message", "samples", …}.
nlohmann::ordered_json MeasurementToJson(const Measurement& measurement);
// Checks as it reads: a name nobody knows, a number that is a text, an ok without samples.
Result<Measurement> MeasurementFromJson(const nlohmann::ordered_json& json);
// The same checks on one that did not come from JSON.
Status CheckMeasurement(const Measurement& measurement);

// 32 hexadecimal digits over run, target and content (MeasurementToJson). A re-read or merged copy has the same, so nothing is stored
// twice.
std::string MeasurementUid(const nlohmann::ordered_json& measurement, const std::string& run_id, const std::string& target_hash);

// One line; never throws on odd bytes.
std::string Dump(const nlohmann::ordered_json& json);

// Pieces that the database stores in columns of their own.
nlohmann::ordered_json ConfigToJson(const Config& config);
Result<Config> ConfigFromJson(const nlohmann::ordered_json& json);
nlohmann::ordered_json NumbersToJson(const std::vector<double>& numbers);
nlohmann::ordered_json NumbersToJson(const std::map<std::string, double>& numbers);

nlohmann::ordered_json NumberToJson(double number);
// Throws nlohmann::json::exception, like get<double>().
double NumberFromJson(const nlohmann::ordered_json& json);

}  // namespace lathe
