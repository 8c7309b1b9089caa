package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Issue 7, row 17: a Warpgate that was removed after the backup is alive in the restored
// store. The edges hand its revocation up, whoever comes first, and it is ended there too;
// an edge with an empty disk learns of it.
func TestRow17RevokedAfterTheBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, open)
	gone := w.enrolWarpgate(t, "production")
	stays := w.enrolWarpgate(t, "production")
	serial := gone.cert.Leaf.SerialNumber.Text(16)
	safe, file := filepath.Join(w.dir, "safe.key"), filepath.Join(w.dir, "backup")
	if err := os.Link(filepath.Join(w.dir, "control", "seal.key"), safe); err != nil {
		t.Fatal(err)
	}
	w.operate(0, "backup", file)
	invoke[any](w, w.client, api.OpDeleteWarpgate, nil, w.path(gone.ID)...)
	holds := func(e *edgeNode) {
		t.Helper()
		eventually(t, "the revocation at "+e.name, func() error {
			data, err := os.ReadFile(filepath.Join(e.dir, "revocations.log"))
			if err == nil && !strings.Contains(string(data), serial) {
				err = errors.New("it is not there")
			}
			return err
		})
	}
	for _, e := range w.edges {
		holds(e)
	}
	w.control.down(true)
	w.operate(0, "restore", file, "--state", filepath.Join(w.dir, "restored"), "--seal-key-file", safe)
	w.startControlIn("restored", "--seal-key-file", safe)

	eventually(t, "the Warpgate to be revoked", func() error {
		shown, err := api.Invoke[mezu.Warpgate](t.Context(), w.client, api.OpGetWarpgate, nil, w.path(gone.ID)...)
		if err == nil && shown.Status != mezu.WarpgateRevoked {
			err = fmt.Errorf("it is %s", shown.Status)
		}
		return err
	})
	_, csr := newKey(t)
	if _, err := api.Invoke[any](t.Context(), w.calls(t, gone), api.OpRenewWarpgate, api.RenewRequest{CSR: csr}); mezu.CodeOf(err) != mezu.CodeUnauthenticated {
		t.Errorf("it renews: %v", err)
	}
	if _, err := api.Invoke[any](t.Context(), w.calls(t, stays), api.OpRenewWarpgate, api.RenewRequest{CSR: csr}); err != nil {
		t.Errorf("another does not: %v", err)
	}
	for _, e := range w.edges {
		metricIs(t, e.admin, "mezu_edge_statements_differ", 0)
		metricIs(t, e.admin, "mezu_edge_compared", 1)
		eventually(t, e.name+" without doubts", func() error {
			if status, text := e.ready(t); status != 200 || text != "ok\n" {
				return fmt.Errorf("ready says %d %q", status, text)
			}
			return nil
		})
	}
	holds(w.addEdge("edge-late"))
}
