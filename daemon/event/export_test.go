package event

// What readers are told of.
const (
	MaxTold      = maxTold
	MaxToldBusy  = maxToldBusy
	ResumeWithin = resumeWithin
)
