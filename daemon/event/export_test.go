package event

// What readers are told of.
const (
	MaxTold      = maxTold
	ResumeWithin = resumeWithin
)
