package document

// Entry points with a clock, and limits, for the tests of this package.
var TestOnlySweepShared = sweepShared

const TestOnlyMinSweepAge = minSweepAge
