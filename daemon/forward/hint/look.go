package hint

// MaxLook is how much of an answer's beginning is looked at: what Rails writes before its
// message, and half as much again. It is kept only while that passes, and never waited for.
const MaxLook = 12 << 10
