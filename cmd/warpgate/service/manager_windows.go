package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
	"golang.org/x/sys/windows/svc/mgr"

	"github.com/mezusphere/mezu"
)

// windowsServices are those of this machine.
func windowsServices(h Host) (manager, error) { return &services{h}, nil }

// services are those of Windows. Each runs as an account of its own, which Windows makes of its name
// (a virtual account), and which has no password.
type services struct{ Host }

func (m *services) check(Spec) error {
	if m.User {
		return &mezu.Error{Code: mezu.CodeInvalid, Field: "user", Detail: "Windows has no services of a user", Hint: "leave it out, in a console of an administrator"}
	}
	return nil
}

func account(name string) string { return `NT SERVICE\` + ID(name) }

// dir is the folder of token, certificate and log.
func (m *services) dir(name string) (string, error) {
	data, err := windows.KnownFolderPath(windows.FOLDERID_ProgramData, 0)
	if err != nil {
		return "", fmt.Errorf("looking for the folder of programs' data: %w", err)
	}
	return filepath.Join(data, ID(name)), nil
}

// refused explains an error of the service manager.
func refused(doing string, err error) error {
	if err == nil {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("%s: %v", doing, err), Hint: "in a console of an administrator", Cause: err}
}

func (m *services) install(ctx context.Context, s Spec) error {
	dir, err := m.dir(s.Name)
	if err != nil {
		return err
	}
	if err := needsToken(dir, s); err != nil {
		return err
	}
	manager, err := mgr.Connect()
	if err != nil {
		return refused("asking for services", err)
	}
	defer manager.Disconnect()
	words := append([]string{}, s.Arguments...)
	words = append(words, "--token-file", filepath.Join(dir, tokenFile))
	if len(s.CA) > 0 {
		words = append(words, "--ca-file", filepath.Join(dir, caFile))
	}
	words = append(words, "--state", filepath.Join(dir, stateFolder), "--log-file", filepath.Join(dir, "warpgate.log"))
	config := mgr.Config{ServiceType: windows.SERVICE_WIN32_OWN_PROCESS, StartType: mgr.StartAutomatic, ErrorControl: mgr.ErrorNormal, DelayedAutoStart: true,
		DisplayName: "Warpgate of " + s.Target, Description: "Connects " + s.Target + " with its edges", ServiceStartName: account(s.Name), SidType: windows.SERVICE_SID_TYPE_UNRESTRICTED}
	service, err := manager.OpenService(ID(s.Name))
	switch {
	case err == nil: // one that was deleted could not be made again while somebody looks at it
		defer service.Close()
		config.BinaryPathName = windows.ComposeCommandLine(append([]string{m.Program}, words...))
		if err := errors.Join(m.end(ctx, service), service.UpdateConfig(config)); err != nil {
			return refused("changing the service that is there", err)
		}
	case errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST):
		if service, err = manager.CreateService(ID(s.Name), m.Program, config, words...); err != nil {
			return refused("making the service", err)
		}
		defer service.Close()
	default:
		return refused("looking for the service", err)
	}
	// The account of the service exists from now on.
	if err := m.own(dir, s.Name); err != nil {
		return err
	}
	if err := m.keepFiles(dir, 0o700, s, sameUser); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, stateFolder), 0o700); err != nil {
		return err
	}
	again := mgr.RecoveryAction{Type: mgr.ServiceRestart, Delay: 5 * time.Second}
	if err := errors.Join(service.SetRecoveryActions([]mgr.RecoveryAction{again, again, again}, uint32((24*time.Hour).Seconds())), service.SetRecoveryActionsOnNonCrashFailures(true)); err != nil {
		return refused("saying what happens when it fails", err)
	}
	if err := service.Start(); err != nil {
		return refused("starting the service", err)
	}
	m.Say("Windows runs %s from now on", ID(s.Name))
	m.Say("  next: sc query %s; its log is %s", ID(s.Name), filepath.Join(dir, "warpgate.log"))
	return nil
}

// own makes a folder that the system, administrators and the service alone can look into, with all
// that comes into it. Everybody may make folders beside it, and so this one too, before.
func (m *services) own(dir, name string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	sid, _, _, err := windows.LookupSID("", account(name))
	if err != nil {
		return fmt.Errorf("looking for the account of the service: %w", err)
	}
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;" + sid.String() + ")")
	if err != nil {
		return err
	}
	acl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	if err := windows.SetNamedSecurityInfo(dir, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, acl, nil); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	paths := []string{dir}
	for _, e := range entries {
		paths = append(paths, filepath.Join(dir, e.Name()))
	}
	for _, path := range paths {
		if err := ownedByUs(path, sid); err != nil {
			return err
		}
	}
	return nil
}

// ownedByUs refuses a file or folder of somebody else: whose it is can change its permissions again.
func ownedByUs(path string, service *windows.SID) error {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.OWNER_SECURITY_INFORMATION)
	if err != nil {
		return err
	}
	owner, _, err := sd.Owner()
	if err != nil {
		return err
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	if owner.IsWellKnown(windows.WinBuiltinAdministratorsSid) || owner.IsWellKnown(windows.WinLocalSystemSid) || owner.Equals(self.User.Sid) || owner.Equals(service) {
		return nil
	}
	return &mezu.Error{Code: mezu.CodeForbidden, Detail: path + " belongs to somebody else, who could read the token", Hint: "see where it comes from, and remove it"}
}

// end stops a service, and waits until it has ended.
func (m *services) end(ctx context.Context, s *mgr.Service) error {
	if status, err := s.Control(svc.Stop); err != nil || status.State == svc.Stopped {
		return nil // it did not run
	}
	return awaitEnd(ctx, func() (bool, error) {
		status, err := s.Query()
		return status.State == svc.Stopped, err
	})
}

func (m *services) uninstall(ctx context.Context, name string) (bool, error) {
	dir, err := m.dir(name)
	if err != nil {
		return false, err
	}
	manager, err := mgr.Connect()
	if err != nil {
		return false, refused("asking for services", err)
	}
	defer manager.Disconnect()
	service, err := manager.OpenService(ID(name))
	if errors.Is(err, windows.ERROR_SERVICE_DOES_NOT_EXIST) {
		return false, m.dropFiles(dir)
	}
	if err != nil {
		return false, refused("looking for the service", err)
	}
	defer service.Close()
	if err := errors.Join(m.end(ctx, service), service.Delete()); err != nil {
		return true, refused("removing the service", err)
	}
	m.Say("%s is gone, and its token", ID(name))
	m.Say("  its certificate and log stay: rmdir /s %q removes them", dir)
	return true, m.dropFiles(dir)
}
