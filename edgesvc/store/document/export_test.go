package document

// Entry points with a clock, and limits, for the tests of this package.
var (
	TestOnlyPut   = put
	TestOnlySweep = sweep
)

const (
	TestOnlyRefreshAfter = refreshAfter
	TestOnlyMinSweepAge  = minSweepAge
)
