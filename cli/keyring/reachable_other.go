//go:build !unix || darwin

package keyring

// reachable says that the system has a keyring.
func reachable(func(string) string) bool { return true }
