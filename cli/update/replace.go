package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/cli/update/record"
	"github.com/mezusphere/mezu/cli/update/source"
	"github.com/mezusphere/mezu/local"
)

const (
	// stagedPrefix begins the names of files that are not in place yet, as in install.sh: each is
	// in the folder where it will be, so that its last step is a rename.
	stagedPrefix = ".mezu.new."
	// staleAfter is how old one is that nobody works on any more.
	staleAfter = time.Hour
	// tryTime is what the new program has to say its version.
	tryTime = 20 * time.Second
	// restartTime is what it has to restart the daemon, requests in flight included.
	restartTime = time.Minute
)

// replacement puts a release in the place of the program and of what came with it.
type replacement struct {
	*invocation.Invocation
	program string
	path    string         // of the record
	noted   *record.Record // nil if there is none
	release *source.Release
}

// run stages all files first. Then it renames them, the program last, which replaces each as one.
func (r *replacement) run(ctx context.Context) error {
	s := &staging{now: r.Clock()}
	defer s.drop()
	content, err := r.unpacked(ctx, s)
	if err != nil {
		return r.unwritable(err)
	}
	if err := r.try(ctx, s.files[0].staged); err != nil {
		return err
	}
	var gone []string
	if r.noted != nil {
		if gone, err = r.stageNoted(s, content); err != nil {
			return r.unwritable(err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.commit(); err != nil {
		return r.unwritable(err)
	}
	for _, path := range gone {
		os.Remove(path) // what is gone already is gone
	}
	return nil
}

// unpacked gets the archive and stages the program that is in it. It gives the other files that
// are of use.
func (r *replacement) unpacked(ctx context.Context, s *staging) (map[string][]byte, error) {
	name := archiveName(runtime.GOOS, runtime.GOARCH)
	archive, err := os.CreateTemp("", "mezu-update-*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(archive.Name())
	defer archive.Close()
	if err := r.release.Download(ctx, name, archive); err != nil {
		return nil, err
	}
	staged, err := s.create(r.program, 0o755)
	if err != nil {
		return nil, err
	}
	content, err := unpack(archive, name, staged)
	if err == nil {
		err = staged.Sync()
	}
	return content, errors.Join(err, staged.Close())
}

// try has the new program say its version, by which it is known to start here and to be the one
// that was announced.
func (r *replacement) try(ctx context.Context, staged string) error {
	within, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	cmd := exec.CommandContext(within, staged, "version")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return ctx.Err() // what it said, if anything, does not count
	}
	if err != nil {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("the program of %s does not start on this machine, and nothing was replaced: %v", terminal.Clean(r.release.Version), err), Cause: err}
	}
	says := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(string(out)), "mezu "))
	if strings.TrimPrefix(says, "v") != strings.TrimPrefix(r.release.Version, "v") {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("the program of %s says that it is %.40q, and nothing was replaced", terminal.Clean(r.release.Version), says)}
	}
	return nil
}

// stageNoted stages manual and completions, if some are here, and what is noted of all. It gives the
// files that came with the version before, and not with this one.
func (r *replacement) stageNoted(s *staging, content map[string][]byte) (gone []string, err error) {
	if len(r.noted.Files) > 0 {
		files, err := r.stageBeside(s, content)
		if err != nil {
			return nil, err
		}
		if len(files) > 0 {
			gone = slices.DeleteFunc(r.noted.Files, func(old string) bool { return slices.Contains(files, old) })
			r.noted.Files = files
		}
	}
	r.noted.Version = r.release.Version
	r.noted.Unsigned = false
	for _, dir := range s.made {
		if !slices.Contains(r.noted.Dirs, dir) {
			r.noted.Dirs = append(r.noted.Dirs, dir)
		}
	}
	text, err := r.noted.Text()
	if err != nil {
		return nil, err
	}
	return gone, s.write(r.path, text, 0o600)
}

// stageBeside stages manual and completions, and gives their paths.
func (r *replacement) stageBeside(s *staging, content map[string][]byte) ([]string, error) {
	data, err := record.DataHome(r.Getenv)
	if err != nil {
		return nil, err
	}
	var paths []string
	for name, text := range content {
		path := filepath.Join(data, filepath.FromSlash(placeOf(name)))
		if err := s.folder(filepath.Dir(path)); err != nil {
			return nil, err
		}
		if err := s.write(path, text, 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths, nil
}

// unwritable adds what helps to an error of the disk.
func (r *replacement) unwritable(err error) error {
	hint := ""
	switch {
	case atomicfile.IsFull(err):
		hint = "make room, and repeat"
	case errors.Is(err, fs.ErrPermission) || readOnly(err):
		hint = "repeat as a user who may write to " + filepath.Dir(r.program)
	default:
		return err
	}
	return &mezu.Error{Code: mezu.CodePreconditionFailed, Detail: fmt.Sprintf("nothing was replaced: %v", err), Hint: hint, Cause: err}
}

// staging are files that are written beside their places.
type staging struct {
	files []stagedFile
	// made are folders that were not there before, outer ones first.
	made []string
	// swept are those in which nothing is left of a run that was killed before now.
	swept []string
	now   time.Time
}

type stagedFile struct{ staged, path string }

// create makes the file that will be at a path.
func (s *staging) create(path string, mode fs.FileMode) (*os.File, error) {
	dir, name := filepath.Split(path)
	if !slices.Contains(s.swept, dir) {
		removeStale(dir, s.now)
		s.swept = append(s.swept, dir)
	}
	staged := filepath.Join(dir, stagedPrefix+strconv.Itoa(os.Getpid())+"."+name)
	os.Remove(staged) // of a process with the same number, long ago
	f, err := os.OpenFile(staged, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	s.files = append(s.files, stagedFile{staged, path})
	return f, f.Chmod(mode)
}

// write makes the file that will be at a path, with all that is in it.
func (s *staging) write(path string, text []byte, mode fs.FileMode) error {
	f, err := s.create(path, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// folder makes a folder with those above it.
func (s *staging) folder(dir string) error {
	var missing []string
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || at == filepath.Dir(at) {
			break
		}
		missing = append(missing, at)
	}
	slices.Reverse(missing)
	s.made = append(s.made, missing...)
	return os.MkdirAll(dir, 0o755)
}

// commit puts all files in place, the first one last.
func (s *staging) commit() error {
	for i := len(s.files) - 1; i >= 0; i-- {
		replace := os.Rename
		if i == 0 {
			replace = replaceProgram
		}
		if err := replace(s.files[i].staged, s.files[i].path); err != nil {
			return err
		}
		_ = atomicfile.SyncDir(filepath.Dir(s.files[i].path)) // it is in place, and on the disk a little later
	}
	return nil
}

// drop removes what is not in place, and folders that were made for nothing.
func (s *staging) drop() {
	for _, f := range s.files {
		os.Remove(f.staged) // what is in place has this name no more
	}
	for _, dir := range slices.Backward(s.made) {
		os.Remove(dir) // one with a file in it stays
	}
}

// removeStale removes what an update or install.sh left behind when it was killed.
func removeStale(dir string, now time.Time) {
	left, _ := filepath.Glob(filepath.Join(dir, stagedPrefix+"*")) // of a folder that can't be read, none is removed
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && now.Sub(info.ModTime()) > staleAfter {
			os.Remove(path)
		}
	}
}

// restart has the new program restart the daemon, if one runs that was this program.
func (o *options) restart(ctx context.Context, program string) error {
	client, err := o.Daemon(ctx, invocation.Settings{})
	if errors.Is(err, local.ErrNotRunning) {
		return nil
	}
	if err == nil {
		defer client.Close()
		st, err := client.Status(ctx)
		if real, evalErr := filepath.EvalSymlinks(st.Program); err == nil && (evalErr != nil || real != program) {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, restartTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "daemon", "restart")
	cmd.Stderr, cmd.WaitDelay = o.Err, time.Second
	if err := cmd.Run(); err != nil {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: fmt.Sprintf("the program is replaced, but its daemon was not restarted: %v", err), Hint: "mezu daemon restart", Cause: err}
	}
	return nil
}
