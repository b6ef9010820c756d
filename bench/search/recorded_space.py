"""A recorded space as the peers need it: configurations in the order of the file, times, constraints as Python."""
import csv
import gzip
import json
import math
import re
from pathlib import Path


class RecordedSpace:
    def __init__(self, path):
        stem = str(Path(path).with_suffix(""))
        self.header = json.loads(Path(stem + ".json").read_text())
        self.id = self.header["id"]
        self.parameters = self.header["parameters"]
        self.values = [self.header["values"][name] for name in self.parameters]
        self.configs, self.times = [], []  # time in ms; infinity where the configuration failed
        known = [{str(value): value for value in values} for values in self.values]
        with gzip.open(stem + ".csv.gz", "rt") as file:
            rows = csv.reader(file)
            columns = {name: place for place, name in enumerate(next(rows))}
            places = [columns[name] for name in self.parameters]
            for row in rows:
                self.configs.append(tuple(known[i][row[place]] for i, place in enumerate(places)))
                time = row[columns["time_ms"]]
                self.times.append(float(time) if time else math.inf)
        self.index = {config: i for i, config in enumerate(self.configs)}
        self.optimum = min(self.times)

    def python_constraints(self):
        """The constraints with fixed parameters filled in, in Python's spelling; those that nothing open appears in are left out."""
        texts = []
        for text in self.header["constraints"]:
            text = text.replace("&&", " and ").replace("||", " or ")
            for name, value in self.header.get("fixed_parameters", {}).items():
                text = re.sub(rf"\b{name}\b", str(value), text)
            if any(re.search(rf"\b{name}\b", text) for name in self.parameters):
                texts.append(text)
        return texts
