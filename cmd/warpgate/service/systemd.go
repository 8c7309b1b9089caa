package service

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
)

// systemd runs services of Linux.
type systemd struct{ Host }

// bootedFile is there where systemd is what started this machine (sd_booted(3)).
const bootedFile = "/run/systemd/system"

func (m *systemd) check(s Spec) error {
	if _, err := exec.LookPath("systemctl"); err != nil || !m.User && !exists(m.below(bootedFile)) {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: "systemd does not run this machine", Hint: "run warpgate itself, by what starts programs here; in a container it is the container's program"}
	}
	if strings.ContainsAny(strings.Join(append(s.Arguments, m.Program), ""), "\n\r") {
		return mezu.Errorf(mezu.CodeInvalid, "a path or address with a line end can't be that of a service")
	}
	if m.User {
		return nil
	}
	for _, dir := range []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"} { // as the unit's ProtectHome and PrivateTmp hide
		if strings.HasPrefix(m.Program, dir) {
			return &mezu.Error{Code: mezu.CodeInvalid, Detail: fmt.Sprintf("the system's service can't run %s: it sees nothing below %s", m.Program, dir),
				Hint: "install " + m.Program + " /usr/local/bin/ && /usr/local/bin/warpgate install …, or --user"}
		}
	}
	return nil
}

// unitPath is the file of a service, filesDir the folder of its token.
func (m *systemd) unitPath(name string) string {
	if m.User {
		return filepath.Join(m.Home, ".config", "systemd", "user", ID(name)+".service")
	}
	return m.below(filepath.Join("/etc/systemd/system", ID(name)+".service"))
}

func (m *systemd) filesDir(name string) string {
	if m.User {
		return filepath.Join(m.Home, ".config", "mezu", ID(name))
	}
	return m.below(filepath.Join("/etc", ID(name)))
}

// stateDir is where the service keeps its certificate.
func (m *systemd) stateDir(name string) string {
	if m.User {
		return filepath.Join(m.Home, ".local", "state", "mezu", ID(name))
	}
	return filepath.Join("/var/lib", ID(name))
}

func (m *systemd) install(ctx context.Context, s Spec) error {
	dir := m.filesDir(s.Name)
	if err := m.keepFiles(dir, 0o700, s, sameUser); err != nil {
		return err
	}
	if m.User {
		if err := atomicfile.EnsureOwnDir(m.stateDir(s.Name)); err != nil {
			return err
		}
	}
	if err := m.writeService(m.unitPath(s.Name), m.unit(s)); err != nil {
		return err
	}
	unit := ID(s.Name) + ".service"
	for _, words := range [][]string{{"daemon-reload"}, {"enable", unit}, {"restart", unit}} {
		if err := command(ctx, m.systemctl(words...)...); err != nil {
			return err
		}
	}
	m.Say("systemd runs %s from now on", unit)
	user := ""
	if m.User {
		user = "--user "
		m.Say("  before you log in too, and after you log out: loginctl enable-linger")
	}
	m.Say("  next: systemctl %sstatus %s; journalctl %s-u %s -f", user, unit, user, unit)
	return nil
}

func (m *systemd) systemctl(words ...string) []string {
	if m.User {
		words = append([]string{"--user"}, words...)
	}
	return append([]string{"systemctl"}, words...)
}

func (m *systemd) uninstall(ctx context.Context, name string) (bool, error) {
	path, dir, unit := m.unitPath(name), m.filesDir(name), ID(name)+".service"
	if !exists(path) {
		return false, m.dropFiles(dir) // an installation may have ended before the unit
	}
	if err := command(ctx, m.systemctl("disable", "--now", unit)...); err != nil {
		return true, err
	}
	if err := remove(path); err != nil {
		return true, err
	}
	if err := m.dropFiles(dir); err != nil {
		return true, err
	}
	state := m.stateDir(name)
	if !m.User { // of a user for the time being, it is a link
		state = filepath.Join("/var/lib/private", ID(name)) + " " + state
	}
	m.Say("%s is gone, and its token", unit)
	m.Say("  its certificate stays for the next one: rm -r %s removes it", state)
	return true, command(ctx, m.systemctl("daemon-reload")...)
}

// stopSeconds is how long an end may take: the drain of 30 seconds, and what follows it.
const stopSeconds = 40

// unit is the text of a unit (systemd.unit(5), systemd.exec(5)). That of the system runs as a user
// whom it makes for the time being, sees no more of the machine than a client of two networks needs,
// and gets its token from the manager. That of a user can't be shut in as far: namespaces are the
// superuser's to make.
func (m *systemd) unit(s Spec) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	dir := m.filesDir(s.Name)
	line("# Written by warpgate install, which writes it anew. Settings of yours: systemctl edit %s", ID(s.Name))
	line("[Unit]")
	line("Description=Warpgate of %s", strings.ReplaceAll(s.Target, "%", "%%"))
	line("Documentation=https://github.com/mezusphere/mezu")
	line("Wants=network-online.target")
	line("After=network-online.target")
	line("")
	line("[Service]")
	line("Type=exec")
	words := []string{unitQuoted(m.Program)}
	for _, a := range s.Arguments {
		words = append(words, unitWord(a))
	}
	file := func(name string) string {
		if m.User {
			return unitWord(filepath.Join(dir, name))
		}
		return `"${CREDENTIALS_DIRECTORY}/` + name + `"`
	}
	words = append(words, "--token-file", file(tokenFile))
	if len(s.CA) > 0 {
		words = append(words, "--ca-file", file(caFile))
	}
	if m.User {
		words = append(words, "--state", unitWord(m.stateDir(s.Name)))
	} else {
		words = append(words, "--state", `"${STATE_DIRECTORY}"`)
	}
	line("ExecStart=%s", strings.Join(words, " "))
	for _, name := range slices.Sorted(maps.Keys(s.Environment)) {
		line("Environment=%s", unitQuoted(name+"="+s.Environment[name]))
	}
	line("Restart=on-failure")
	line("RestartSec=5")
	line("# A wrong line or a token that was refused does not get better by itself.")
	line("RestartPreventExitStatus=2 3")
	line("TimeoutStopSec=%d", stopSeconds)
	line("UMask=0077")
	line("NoNewPrivileges=yes")
	line("LockPersonality=yes")
	line("MemoryDenyWriteExecute=yes")
	line("RestrictRealtime=yes")
	line("RestrictSUIDSGID=yes")
	line("RestrictNamespaces=yes")
	line("# AF_NETLINK: it looks whether the addresses of this machine have changed.")
	line("RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK")
	line("SystemCallArchitectures=native")
	line("SystemCallFilter=@system-service")
	line("SystemCallFilter=~@privileged @resources")
	line("SystemCallErrorNumber=EPERM")
	if !m.User {
		line("LimitNOFILE=65536")
		line("LoadCredential=%s:%s", tokenFile, filepath.Join(dir, tokenFile))
		if len(s.CA) > 0 {
			line("LoadCredential=%s:%s", caFile, filepath.Join(dir, caFile))
		}
		line("DynamicUser=yes")
		line("StateDirectory=%s", ID(s.Name))
		line("StateDirectoryMode=0700")
		for _, setting := range []string{"CapabilityBoundingSet=", "AmbientCapabilities=", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes", "PrivateUsers=yes",
			"ProtectClock=yes", "ProtectHostname=yes", "ProtectControlGroups=yes", "ProtectKernelLogs=yes", "ProtectKernelModules=yes", "ProtectKernelTunables=yes", "ProtectProc=invisible", "ProcSubset=pid", "DevicePolicy=closed", "RemoveIPC=yes"} {
			line("%s", setting)
		}
	}
	line("")
	line("[Install]")
	if m.User {
		line("WantedBy=default.target")
	} else {
		line("WantedBy=multi-user.target")
	}
	return b.String()
}

// unitQuoted quotes a word in which systemd replaces specifiers.
func unitQuoted(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "\n", `\n`).Replace(word) + `"`
}

// unitWord quotes an argument of a command, in which it replaces variables too.
func unitWord(word string) string { return strings.ReplaceAll(unitQuoted(word), "$", "$$") }
