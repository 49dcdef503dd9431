from worker.methods.weight_inherited.method import WeightInherited

METHOD = WeightInherited
