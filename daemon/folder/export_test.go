package folder

// MaxListed is for tests.
const MaxListed = maxListed
