// Package before holds what an earlier build left on the disk, and the tests that the
// code of today opens and serves it: the state directories of a control plane, an edge
// and a Warpgate, a backup and an export, with what that build answered. make
// before-fixture records them anew (TestRecord of e2e).
//
// Its certificates have expired long since, and so the services run here in this process,
// by a clock that is set back to the recording. All keys in it are of that one recording
// and open nothing else. Nothing else lives here and nobody imports it.
package before
