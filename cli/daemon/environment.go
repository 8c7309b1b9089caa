package daemon

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// passed are the variables that the daemon gets of the command that starts it, beside those
// that begin with passedBegin. All others stay with the command: a login, an API key or a
// password is no business of the daemon, and anybody with a debugger reads its environment.
var (
	passed = []string{
		"HOME", "USER", "LOGNAME", "PATH", "TMPDIR", "TZ", "LANG", "MEZU_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
	}
	passedBegin = []string{"XDG_", "LC_"}
	// passedOnWindows are what programs can't do without there.
	passedOnWindows = []string{
		"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "OS", "COMPUTERNAME", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE",
		"USERPROFILE", "USERNAME", "USERDOMAIN", "HOMEDRIVE", "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "ALLUSERSPROFILE", "PROGRAMFILES",
	}
	// paths of those are made absolute, because the daemon works in another directory.
	paths = []string{"MEZU_HOME", "SSL_CERT_FILE"}
	// inService are the variables that a service is given: where its files are and how it
	// reaches the control plane. The system sets the others.
	inService = []string{"MEZU_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
)

// Environment is what the daemon gets of an environment, each NAME=value. It is never nil, which
// would mean all of it. Of present, which is what the system calls the environment, only the
// names count.
func Environment(getenv func(string) string, present []string) []string {
	names := slices.Concat(passed, passedOnWindows)
	for _, entry := range present {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	out := []string{}
	for _, name := range slices.Compact(names) {
		if value := getenv(name); value != "" && passes(name) {
			out = append(out, name+"="+absolute(name, value))
		}
	}
	return out
}

func passes(name string) bool {
	if runtime.GOOS == "windows" { // where names do not depend on case
		name = strings.ToUpper(name)
	}
	return slices.Contains(passed, name) || runtime.GOOS == "windows" && slices.Contains(passedOnWindows, name) ||
		slices.ContainsFunc(passedBegin, func(begin string) bool { return strings.HasPrefix(name, begin) })
}

func absolute(name, value string) string {
	if value == "" || !slices.Contains(paths, name) {
		return value
	}
	if abs, err := filepath.Abs(value); err == nil {
		return abs
	}
	return value
}

// serviceEnvironment is what a service is given, and the names of those left out because they
// have a password in them: others may read the file of a service.
func serviceEnvironment(getenv func(string) string) (env map[string]string, left []string) {
	// The system may set this one where the shell does not. It says where commands look for the
	// socket, so the service gets it even if it is empty.
	env = map[string]string{"XDG_RUNTIME_DIR": getenv("XDG_RUNTIME_DIR")}
	for _, name := range inService {
		value := getenv(name)
		if value == "" {
			continue
		}
		if strings.HasSuffix(strings.ToLower(name), "_proxy") && strings.Contains(value, "@") {
			left = append(left, name)
			continue
		}
		env[name] = absolute(name, value)
	}
	return env, left
}
