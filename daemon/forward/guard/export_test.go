package guard

// MaxHashing is for tests.
const MaxHashing = maxHashing
