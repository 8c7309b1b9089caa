// Package state is the control plane's state directory: which files lie in it, who may
// touch them, and how the store in it is opened.
//
// What lives here: names and contents of files, the driver of the store, the seal key
// and the archive's directory. What may not: what a record in the store means. Package
// control and those that it is made of import it.
//
//	store/          records, unless they lie elsewhere
//	seal.key        the key under which records are sealed
//	archive/        audit records after a week
//	offline/        the trust root of a new installation, until it is moved away
//	bootstrap       the link with which the first operator comes in, until it was used
//	site            where people reach this control plane, and by which CA, for links that are made beside it
//	ca.pem          the CA's roots, for clients on this machine
//	trust-root.pub  the trust root's public key, for verifying the archive
package state

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/atomicfile"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/edgesvc/control/format"
	"github.com/mezusphere/mezu/edgesvc/seal"
	"github.com/mezusphere/mezu/edgesvc/store"
	"github.com/mezusphere/mezu/edgesvc/store/badger"
	"github.com/mezusphere/mezu/edgesvc/store/sealed"
)

// Files in the state directory.
const (
	fileSealKey   = "seal.key"
	fileCA        = "ca.pem"
	fileBootstrap = "bootstrap"
	fileSite      = "site"
	fileTrustRoot = "trust-root.pub"
	dirStore      = "store"
	dirOffline    = "offline"
	dirArchive    = "archive"
)

// Ballast is the size in bytes of the file in the store's folder that is deleted when the
// disk is full.
const Ballast = badger.DefaultBallast

// Config says where things lie.
type Config struct {
	// Dir is the state directory.
	Dir string
	// Store is used instead of an embedded one, and not closed.
	Store store.Store
	// StoreDir is where the embedded store lies; if empty, in Dir.
	StoreDir string
	// SealKey is where the seal key lies, as package seal's NewWrapper reads it; if
	// empty, in Dir.
	SealKey string
	// Archive is dir:PATH; if empty, a directory in Dir.
	Archive string
	// Program is this program's version.
	Program string
	Now     func() time.Time
	Log     *slog.Logger
}

// State is the directory and the store. New assembles it, Prepare and OpenStore acquire
// what they say, Close releases it.
type State struct {
	cfg     Config
	archive string      // the directory
	driver  store.Store // nil until it is open
	store   *sealed.Store
}

// New checks where the archive is to be. It opens nothing.
func New(cfg Config) (*State, error) {
	if cfg.Archive == "" {
		cfg.Archive = "dir:" + filepath.Join(cfg.Dir, dirArchive)
	}
	archived, err := archive.ParseLocation(cfg.Archive)
	if err != nil {
		return nil, err
	}
	return &State{cfg: cfg, archive: archived}, nil
}

// Prepare makes the directory, and refuses one that others can write.
func (s *State) Prepare() error {
	if err := atomicfile.EnsureOwnDir(s.cfg.Dir); err != nil {
		return s.unusable(err)
	}
	return nil
}

// OpenStore opens the driver and the sealed store over it, which is brought to the
// current format.
func (s *State) OpenStore(ctx context.Context) error {
	if err := s.OpenDriver(); err != nil {
		return err
	}
	return s.openSealed(ctx)
}

// openSealed opens the sealed store over the driver.
func (s *State) openSealed(ctx context.Context) (err error) {
	s.store, err = format.Open(ctx, s.driver, format.Options{Wrapper: s.SealKey(), Program: s.cfg.Program, Now: s.cfg.Now, Log: s.cfg.Log})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	return nil
}

// OpenDriver opens the store as it lies there, sealed. Only one process may have an
// embedded store.
func (s *State) OpenDriver() (err error) {
	if s.cfg.Store != nil {
		s.driver = s.cfg.Store
		return nil
	}
	dir := s.storeDir()
	db, err := badger.Open(badger.Options{Dir: dir, Now: s.cfg.Now, Log: s.cfg.Log})
	if errors.Is(err, atomicfile.ErrLocked) || atomicfile.Remedy(err) != "" {
		return s.unusable(err)
	}
	if damaged := (*badger.DamagedError)(nil); errors.As(err, &damaged) {
		return &mezu.Error{Code: mezu.CodeInternal, Detail: fmt.Sprintf("opening the store: %v", err), Cause: err,
			Hint: "check the disk, then put the last backup into a new directory: mezusphere restore FILE --state DIR --seal-key-file KEY; edges and Warpgates serve on meanwhile"}
	}
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	s.driver = db
	return nil
}

// storeDir is where the embedded store lies.
func (s *State) storeDir() string { return cmp.Or(s.cfg.StoreDir, s.path(dirStore)) }

// OpenExisting is OpenStore for a store that has records. It makes none where there is none, and
// nothing in one that is empty.
func (s *State) OpenExisting(ctx context.Context) error {
	if s.cfg.Store == nil {
		entries, err := os.ReadDir(s.storeDir())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s.unusable(err)
		}
		if len(entries) == 0 {
			return s.noInstallation()
		}
	}
	if err := s.OpenDriver(); err != nil {
		return err
	}
	page, err := s.driver.List(ctx, "", "", 1)
	if err != nil {
		return fmt.Errorf("looking at the store: %w", err)
	}
	if len(page.Records) == 0 {
		return s.noInstallation()
	}
	return s.openSealed(ctx)
}

func (s *State) noInstallation() error {
	return &mezu.Error{Code: mezu.CodeNotFound, Detail: "there is no installation in " + s.cfg.Dir,
		Hint: "--state is the folder that mezusphere control or mezusphere all was started with; its --store and --seal-key-file count, too"}
}

// Store is the opened store, once OpenStore has returned.
func (s *State) Store() *sealed.Store { return s.store }

// Driver is the store as it lies there, once OpenStore or OpenDriver has returned.
func (s *State) Driver() store.Store { return s.driver }

// SealKey holds the key under which the store is sealed.
func (s *State) SealKey() seal.Wrapper {
	setting := s.cfg.SealKey
	if setting == "" {
		setting = s.path(fileSealKey)
	}
	return seal.NewWrapper(setting)
}

// OpenArchive makes the archive's directory: now, and not in a week when the first
// records go there.
func (s *State) OpenArchive(root ed25519.PublicKey) (*archive.Archive, error) {
	if err := atomicfile.EnsureDir(s.archive); err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "archive", Detail: fmt.Sprintf("the archive's directory can't be used: %v", err),
			Hint: "make it a directory that this user may write, or name another with --archive dir:PATH", Cause: err}
	}
	return archive.New(s.archive, root), nil
}

// Close closes the store, unless it was handed in.
func (s *State) Close() error {
	if s.driver == nil || s.cfg.Store != nil {
		return nil
	}
	closing := s.driver.Close
	if s.store != nil {
		closing = s.store.Close
	}
	err := closing()
	if errors.Is(err, badger.ErrGone) {
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: err.Error(), Hint: "move it back, or put a backup into a new directory: mezusphere restore FILE --state DIR --seal-key-file KEY", Cause: err}
	}
	if errors.Is(err, store.ErrUnavailable) { // of the disk, and not of a program that is wrong
		return &mezu.Error{Code: mezu.CodeUnavailable, Detail: err.Error(), Hint: "make room on the disk of " + s.cfg.Dir + " and start again", Cause: err}
	}
	return err
}

// Holder names this control plane, among those that share its store, to operators.
func (s *State) Holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return host + ":" + s.cfg.Dir
}

// Offline is the folder for the trust root of a new installation.
func (s *State) Offline() string { return s.path(dirOffline) }

// CAFile is the file with the roots of the internal CA in PEM.
func (s *State) CAFile() string { return s.path(fileCA) }

func (s *State) path(name string) string { return filepath.Join(s.cfg.Dir, name) }

// WriteCA puts the CA's roots where clients of this machine find them, and the trust
// root's public key where a copy for verifying the archive is taken from.
func (s *State) WriteCA(roots []byte, root ed25519.PublicKey) error {
	if err := publicFile(s.CAFile(), roots); err != nil {
		return fmt.Errorf("writing the CA file: %w", err)
	}
	if err := publicFile(s.path(fileTrustRoot), []byte(base64.StdEncoding.EncodeToString(root)+"\n")); err != nil {
		return fmt.Errorf("writing the trust root's public key: %w", err)
	}
	return nil
}

// publicFile makes a file that everybody may read have this content. One that has it is
// left alone: a full disk keeps no control plane from starting.
func publicFile(path string, content []byte) error {
	if is, err := os.ReadFile(path); err == nil && bytes.Equal(is, content) {
		return nil
	}
	return atomicfile.Write(path, content, 0o644)
}

// BootstrapFile is where the link lies with which the first operator comes in.
func (s *State) BootstrapFile() string { return s.path(fileBootstrap) }

// BootstrapFileOf is BootstrapFile of another control plane, by its Holder.
func BootstrapFileOf(holder string) string { return holder + "/" + fileBootstrap }

// BootstrapCode is the code in the bootstrap link, or "" if there is no link.
func (s *State) BootstrapCode() (string, error) {
	text, err := os.ReadFile(s.BootstrapFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the bootstrap link: %w", err)
	}
	_, code, _ := strings.Cut(strings.TrimSpace(string(text)), "#")
	return strings.TrimPrefix(code, "code="), nil // as earlier builds wrote it
}

// WriteSite notes where people reach this control plane, and whether they know it by the CA of
// CAFile.
func (s *State) WriteSite(site string, byCA bool) error {
	text := site + "\n"
	if byCA {
		text += fileCA + "\n"
	}
	if err := publicFile(s.path(fileSite), []byte(text)); err != nil {
		return fmt.Errorf("writing down the address of the control plane: %w", err)
	}
	return nil
}

// maxSite bounds the file of the site: a host name has 253 characters.
const maxSite = 512

// Site gives what WriteSite noted; nothing if this control plane never ran.
func (s *State) Site() (site string, byCA bool, err error) {
	text, err := atomicfile.ReadFile(s.path(fileSite), maxSite)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	site, ca, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	return site, ca == fileCA, err
}

// BootstrapLink is the link to an installation's first page, at site.
func BootstrapLink(site, code string) string {
	// Behind «#» the code stays out of logs of whatever the link is opened
	// with.
	return site + "/bootstrap#" + code
}

// WriteBootstrap writes the link to the installation at site, and gives it.
func (s *State) WriteBootstrap(site, code string) (link string, err error) {
	link = BootstrapLink(site, code)
	if err := atomicfile.Write(s.BootstrapFile(), []byte(link+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("writing the bootstrap link: %w", err)
	}
	return link, nil
}

// ForgetBootstrap removes the file of a link that was used.
func (s *State) ForgetBootstrap() {
	if err := os.Remove(s.BootstrapFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("removing the used bootstrap link", "error", err)
	}
}

// unusable says what is wrong with the state directory.
func (s *State) unusable(cause error) error {
	return atomicfile.UnusableState(s.cfg.Dir, "control plane", cause)
}

// Exposed adds what to type to an error about a file or directory that others could have
// changed.
func Exposed(err error) error {
	var told *mezu.Error
	if remedy := atomicfile.Remedy(err); remedy != "" && !errors.As(err, &told) {
		return &mezu.Error{Code: mezu.CodeInvalid, Detail: err.Error(), Hint: remedy, Cause: err}
	}
	return err
}
