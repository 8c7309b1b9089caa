//go:build !windows

package service

import "github.com/mezusphere/mezu"

// windowsServices are those of another system.
func windowsServices(Host) (manager, error) {
	return nil, mezu.Errorf(mezu.CodeUnavailable, "services of Windows are managed on Windows")
}
