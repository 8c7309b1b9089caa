package etcdtest

import (
	"net/url"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// embedded is a member in this process.
type embedded struct {
	site
	running *embed.Etcd
}

func (m *embedded) start() (err error) {
	config := embed.NewConfig()
	config.Name, config.Dir = m.name, m.dir
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{m.peer}, []url.URL{m.peer}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{m.client}, []url.URL{m.client}
	config.InitialCluster = m.initial
	secure := transport.TLSInfo{CertFile: m.files.cert, KeyFile: m.files.key, TrustedCAFile: m.files.ca, ClientCertAuth: true}
	config.ClientTLSInfo, config.PeerTLSInfo = secure, secure
	config.TickMs, config.ElectionMs = uint(heartbeat.Milliseconds()), uint(election.Milliseconds())
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	m.running, err = embed.StartEtcd(config)
	return err
}

// kill cuts the member off first, and lets it find out that it leads no more: a leader
// that is asked to stop would hand over its office, which one that dies can't.
func (m *embedded) kill() {
	if m.running == nil {
		return
	}
	server := m.running.Server
	for _, peer := range server.Cluster().Members() {
		if peer.ID != server.MemberID() {
			server.CutPeer(peer.ID)
		}
	}
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for deadline := time.Now().Add(startTime); server.Leader() == server.MemberID() && time.Now().Before(deadline); {
		<-tick.C
	}
	m.running.Close()
	m.running = nil
}
