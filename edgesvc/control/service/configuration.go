package service

// Configuration is the operations on projects and what lies in them.
type Configuration struct {
	records  *Records
	access   *Access
	identity *Identity
	fleet    *Fleet
}

// newConfiguration makes it.
func newConfiguration(r *Records, a *Access, i *Identity, f *Fleet) *Configuration {
	return &Configuration{records: r, access: a, identity: i, fleet: f}
}
