package bench

// Benches are all benchmarks, in the order in which they run.
func Benches() []Bench {
	return []Bench{
		sendBench(),
		importBench(),
		planBench(),
		launchBench(),
		enqueueBench(),
		webhookBench(),
		statusBench(),
	}
}
