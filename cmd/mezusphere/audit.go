package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mezusphere/mezu/cmd/process"
	"github.com/mezusphere/mezu/edgesvc/archive"
	"github.com/mezusphere/mezu/namedfile"
)

const auditUsage = `mezusphere audit - check an archive of audit records

Usage:
   mezusphere audit verify --trust-root FILE [--json] DIR

Reads every segment of an audit archive and says whether one is missing, changed
or out of its place. It needs nothing but DIR and the trust root's public key, of
which the control plane keeps a copy in STATE/trust-root.pub: take FILE from a
place that who can write to DIR can't.

What was cut off at the end of a chain shows only against a head that was noted
before: keep what this prints, and look for the old head's number and hash next
time.

Flags:
   --trust-root FILE  the public key of the installation's trust root
   --json             print one JSON object a scope

Example:
   mezusphere audit verify --trust-root trust-root.pub /var/backups/audit
`

// auditVerify is "mezusphere audit verify".
func (p *program) auditVerify(args []string) error {
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
		return p.help(auditUsage)
	}
	if len(args) == 0 || args[0] != "verify" {
		return wrong("mezusphere audit has one command, verify")
	}
	var file string
	var asJSON bool
	f := flag.NewFlagSet("audit verify", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&file, "trust-root", "", "")
	f.BoolVar(&asJSON, "json", false, "")
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return errors.Join(p.help(auditUsage), err)
		}
		return process.FlagError(f, err, helpCommand)
	}
	if f.NArg() != 1 {
		return wrong("mezusphere audit verify needs the folder of the archive, DIR, after the flags")
	}
	if file == "" {
		return wrong("mezusphere audit verify needs the trust root: --trust-root FILE, trust-root.pub of the control plane's state directory, from a safe place")
	}
	root, err := readTrustRoot(file)
	if err != nil {
		return err
	}
	if info, err := os.Stat(f.Arg(0)); err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	} else if !info.IsDir() {
		return wrong("%s is no directory", f.Arg(0))
	}
	reports, err := archive.New(f.Arg(0), root).Verify()
	if err != nil {
		return err
	}
	return p.report(reports, asJSON)
}

// maxTrustRoot bounds the file of a public key.
const maxTrustRoot = 1 << 10

func readTrustRoot(path string) (ed25519.PublicKey, error) {
	text, err := namedfile.Read(path, maxTrustRoot)
	if err != nil {
		return nil, fmt.Errorf("reading the trust root: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("reading the trust root: %s holds no Ed25519 public key in base64", path)
	}
	return key, nil
}

// report prints what was found; faults make it an error.
func (p *program) report(reports []archive.ScopeReport, asJSON bool) error {
	faults := 0
	for _, r := range reports {
		faults += len(r.Faults)
		if asJSON {
			if err := p.WriteLine(r); err != nil {
				return err
			}
			continue
		}
		err := p.Printf("%s: %d segments, %d records from %s to %s, head %d %s\n", r.Scope, r.Segments, r.Records,
			r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Head.Sequence, r.Head.Hash)
		if err != nil {
			return err
		}
		for _, fault := range r.Faults {
			p.Sayf("%s", fault)
		}
	}
	if faults > 0 {
		return fmt.Errorf("the archive is not whole; faults: %d", faults)
	}
	if len(reports) == 0 {
		p.Sayf("the archive is empty")
	}
	return nil
}
