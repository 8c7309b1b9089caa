package update

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
)

// askTime is how long a package manager may take to say whether a file is its own.
const askTime = 5 * time.Second

// module is what "go install" names.
const module = "github.com/mezusphere/mezu/cmd/mezu"

// kept is an error if something else keeps the program up to date. What that knows of the file
// would not be true any more. noted says that install.sh has put it where it is.
func kept(ctx context.Context, getenv func(string) string, program string, noted bool) error {
	name, command := keeperByPath(program)
	if name == "" && !noted {
		name, command = keeperByBuild(getenv, program)
	}
	if name == "" {
		name, command = keeperByAsking(ctx, program)
	}
	if name == "" || ctx.Err() != nil {
		return ctx.Err() // whoever has no time left hears nothing of a package manager
	}
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: fmt.Sprintf("%s keeps %s, which is left alone", name, program), Hint: command}
}

// keeperByPath knows those that have folders of their own.
func keeperByPath(program string) (name, command string) {
	path := filepath.ToSlash(program)
	if runtime.GOOS == "windows" {
		path = strings.ToLower(path)
	}
	switch {
	case strings.Contains(path, "/Cellar/mezu/"):
		return "Homebrew", "brew upgrade mezu"
	case strings.HasPrefix(path, "/nix/store/"):
		return "Nix", "nix profile upgrade mezu, or what your configuration is applied by"
	case strings.Contains(path, "/scoop/apps/mezu/"):
		return "Scoop", "scoop update mezu"
	case strings.HasPrefix(path, "/snap/"):
		return "Snap", "snap refresh mezu"
	}
	return "", ""
}

// keeperByBuild knows what "go install" has built. Of a version it has the digest in it; what it
// builds in a checkout is in its folder alone.
func keeperByBuild(getenv func(string) string, program string) (name, command string) {
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Sum != "" || slices.Contains(goFolders(getenv), filepath.Dir(program)) {
		return "go install", "go install " + module + "@latest"
	}
	return "", ""
}

// goFolders are where "go install" puts programs.
func goFolders(getenv func(string) string) []string {
	var out []string
	if bin := getenv("GOBIN"); bin != "" {
		out = append(out, bin)
	}
	paths := filepath.SplitList(getenv("GOPATH"))
	if home := getenv("HOME"); len(paths) == 0 && home != "" {
		paths = []string{filepath.Join(home, "go")}
	}
	for _, p := range paths {
		out = append(out, filepath.Join(p, "bin"))
	}
	for i, dir := range out {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			out[i] = real
		}
	}
	return out
}

// keeperByAsking asks the package managers that are here, which exit with 0 if a file is theirs.
func keeperByAsking(ctx context.Context, program string) (name, command string) {
	if runtime.GOOS == "windows" {
		return "", ""
	}
	for _, m := range []struct {
		name, command string
		ask           []string
	}{
		{"dpkg", "sudo apt-get install --only-upgrade mezu, or sudo dpkg -i of the new package", []string{"dpkg-query", "-S", program}},
		{"rpm", "sudo dnf upgrade mezu, or sudo rpm -U of the new package", []string{"rpm", "-qf", program}},
		{"apk", "apk upgrade mezu", []string{"apk", "info", "--who-owns", program}},
		{"pacman", "sudo pacman -Syu mezu", []string{"pacman", "-Qo", program}},
	} {
		if owns(ctx, m.ask) {
			return m.name, m.command
		}
	}
	return "", ""
}

// owns reports whether a program ends with 0. One that does not answer in time is taken for one
// that would: what may be a package manager's is left alone.
func owns(ctx context.Context, argv []string) bool {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+os.DevNull) // the rpm of Debian makes a database there
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	return err == nil || errors.Is(ctx.Err(), context.DeadlineExceeded)
}
