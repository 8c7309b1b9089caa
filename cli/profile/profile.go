// Package profile keeps what the mezu command remembers between runs: which
// control plane, as whom, and the defaults of organization, project and
// environment; and it reads the part of mezu.yaml that says the same for a
// directory.
//
// What may not live here: flags, the network, the state of running programs. It
// imports the domain, atomicfile and namedfile; cli and cmd/mezu import it.
package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/goccy/go-yaml"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/namedfile"
)

// Profile is one named connection to a control plane. All but API may be empty.
type Profile struct {
	API          string `yaml:"api"`
	CAFile       string `yaml:"ca_file,omitempty"`
	Organization string `yaml:"organization,omitempty"`
	Project      string `yaml:"project,omitempty"`
	Environment  string `yaml:"environment,omitempty"`
	// Socket is where "mezu dev", which wrote the profile, hosts its tunnels; if empty, the
	// daemon of this user does.
	Socket string `yaml:"socket,omitempty"`
	// Keyring is the account of the keyring that has the credential. If empty, a file of the
	// store has it. Nothing is looked for in the other place.
	Keyring string `yaml:"keyring,omitempty"`
}

// Store is the folder with profiles. The folder need not exist for reading.
type Store struct {
	// Dir holds profiles/NAME.yaml, credentials/NAME and default. If empty, there are no
	// profiles, and none can be saved.
	Dir string
	// Keyring is that of the system; nil if there is none, or if it isn't to be used.
	Keyring Keyring
}

const (
	// maxFile bounds a file of this package. Those that we write have a few hundred bytes.
	maxFile = 64 << 10
	// maxProfile bounds a profile, of which the longest part is a path. The parser of YAML
	// takes memory by the square of how deep a text is nested.
	maxProfile = 8 << 10
)

// ErrNone is in the chain of the error about a profile that does not exist.
var ErrNone = errors.New("no such profile")

// homeHint says what to do when there is no folder for profiles.
const homeHint = "set HOME, or MEZU_HOME to a directory of yours"

func errNoFolder() error {
	return &mezu.Error{Code: mezu.CodeInvalid, Detail: "there is no home directory to keep profiles in", Hint: homeHint}
}

// Load reads a profile by name.
func (s Store) Load(name string) (*Profile, error) {
	path, err := s.path("profiles", name, ".yaml")
	if err != nil {
		return nil, err
	}
	data, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		hint := "mezu dev writes the profile dev"
		if s.Dir == "" {
			hint = homeHint
		}
		detail := fmt.Sprintf("there is no profile %q in %s", name, s.Dir)
		if names, err := s.Names(); err == nil && len(names) > 0 {
			hint = "mezu profiles list"
			detail += mezu.DidYouMean(name, names)
		}
		return nil, &mezu.Error{Code: mezu.CodeNotFound, Detail: detail, Hint: hint, Cause: ErrNone}
	}
	if err != nil {
		return nil, fmt.Errorf("reading profile %s: %w", name, err)
	}
	if len(data) > maxProfile {
		return nil, mezu.Invalid("", "%s has more than %d bytes", path, maxProfile)
	}
	var p Profile
	if err := yaml.UnmarshalWithOptions(data, &p, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("reading profile %s:\n%s", path, yaml.FormatError(err, false, true))
	}
	if p.Keyring != "" && !accountName.MatchString(p.Keyring) {
		return nil, mezu.Invalid("keyring", "%s names no account that this program makes", path)
	}
	return &p, nil
}

// Save writes a profile and its credential. The credential is written first, because with a
// profile that lacks it the next command would fail. One that was kept in another place
// until now is deleted there last. If only that fails, the error is ErrLeft.
func (s Store) Save(name string, p Profile, c Credential) error {
	if _, err := s.path("profiles", name, ".yaml"); err != nil {
		return err
	}
	if s.Dir == "" {
		return errNoFolder()
	}
	was, err := s.account(name)
	if err != nil {
		was = "" // the profile is damaged, and replaced now
	}
	if err := s.write(name, p.Keyring, c); err != nil {
		return err
	}
	if err := s.SaveProfile(name, p); err != nil {
		return err
	}
	return s.forget(name, was, p.Keyring)
}

// SaveProfile writes a profile, but not its credential.
func (s Store) SaveProfile(name string, p Profile) error {
	path, err := s.path("profiles", name, ".yaml")
	if err != nil {
		return err
	}
	if s.Dir == "" {
		return errNoFolder()
	}
	data, err := yaml.Marshal(p)
	if err != nil {
		return fmt.Errorf("encoding profile %s: %w", name, err)
	}
	return save(path, name, data)
}

func save(path, name string, data []byte) error {
	err := private(filepath.Dir(path))
	if err == nil {
		err = atomicfile.Write(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("saving profile %s: %w", name, err)
	}
	return nil
}

// Remove deletes a profile and its credential, and makes it the default no more. If it doesn't
// exist, that is no error.
func (s Store) Remove(name string) error {
	path, err := s.path("profiles", name, ".yaml")
	if err != nil {
		return err
	}
	// The profile names the place of the credential, so it goes after that.
	if err := s.RemoveCredential(name); err != nil {
		return err
	}
	if current, err := s.Default(); err == nil && current == name {
		if err := os.Remove(filepath.Join(s.Dir, "default")); err != nil {
			return fmt.Errorf("removing profile %s: %w", name, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing profile %s: %w", name, err)
	}
	return nil
}

// Default is the name of the profile that is used when none is named; "" if there is none.
func (s Store) Default() (string, error) {
	data, err := s.read(filepath.Join(s.Dir, "default"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the default profile: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// SetDefault chooses the profile that is used when none is named.
func (s Store) SetDefault(name string) error {
	if err := mezu.ValidateName("profile", name); err != nil {
		return err
	}
	if s.Dir == "" {
		return errNoFolder()
	}
	if err := private(s.Dir); err != nil {
		return fmt.Errorf("choosing profile %s: %w", name, err)
	}
	if err := atomicfile.Write(filepath.Join(s.Dir, "default"), []byte(name+"\n"), 0o600); err != nil {
		return fmt.Errorf("choosing profile %s: %w", name, err)
	}
	return nil
}

// Names lists the profiles.
func (s Store) Names() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "profiles"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing profiles: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok && mezu.ValidateName("", name) == nil {
			names = append(names, name)
		}
	}
	return names, nil
}

// path is the file of a profile. Its name is checked, so it can't lead elsewhere.
func (s Store) path(folder, name, suffix string) (string, error) {
	if err := mezu.ValidateName("profile", name); err != nil {
		return "", err
	}
	return filepath.Join(s.Dir, folder, name+suffix), nil
}

// read reads a file of the store. It refuses a file that others could have written or put
// there, because they could make the next command talk to any server.
func (s Store) read(path string) ([]byte, error) {
	if s.Dir == "" || missing(path) {
		return nil, fs.ErrNotExist
	}
	// The folder is checked first: if others can write it, no file in it can be trusted.
	for _, dir := range []string{s.Dir, filepath.Dir(path)} {
		if err := atomicfile.CheckDir(dir); err != nil {
			return nil, exposed(err)
		}
	}
	data, err := atomicfile.ReadGivenKey(path, maxFile)
	return bytes.TrimPrefix(data, byteOrderMark), exposed(err)
}

// missing reports whether a file doesn't exist. That includes a path on which something is
// not a folder.
func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// exposed adds the command to type to an error about a file or folder that others can write.
func exposed(err error) error {
	if remedy := atomicfile.Remedy(err); remedy != "" {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error(), Hint: remedy, Cause: err}
	}
	return err
}

// private makes a folder that only its owner can enter. If the folder exists and others can
// look into it, it is closed to them. If others can write it, it is refused.
func private(dir string) error {
	if err := atomicfile.EnsureOwnDir(dir); err != nil {
		return exposed(err)
	}
	if runtime.GOOS == "windows" {
		return nil
	}
	return os.Chmod(dir, 0o700)
}

// byteOrderMark begins files that some editors write.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readBounded reads a file of at most max bytes.
func readBounded(path string, max int64) ([]byte, error) {
	data, err := namedfile.Read(path, max+1)
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, mezu.Invalid("", "it has more than %d bytes", max)
	}
	return bytes.TrimPrefix(data, byteOrderMark), nil
}
