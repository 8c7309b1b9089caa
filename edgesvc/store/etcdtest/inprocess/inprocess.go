// Package inprocess runs the members of a cluster of package etcdtest in the test's own
// process, as etcd embeds itself.
//
// What lives here: that. What may not: anything that is linked into a program: it
// contains the whole of etcd, which is why it is a package of its own. Only tests import
// it.
package inprocess

import (
	"context"
	"net/url"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/mezusphere/mezu/edgesvc/store/etcdtest"
)

// Start runs a cluster in this process until the test ends.
func Start(t etcdtest.Test) *etcdtest.Cluster {
	t.Helper()
	return etcdtest.StartMembers(t, func(s etcdtest.Site) etcdtest.Member { return &embedded{site: s} })
}

// embedded is a member in this process.
type embedded struct {
	site    etcdtest.Site
	running *embed.Etcd
	cut     context.CancelFunc // ends all calls of clients
}

// Start implements etcdtest.Member.
func (m *embedded) Start() (err error) {
	config := embed.NewConfig()
	config.Name, config.Dir = m.site.Name, m.site.Dir
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{m.site.Peer}, []url.URL{m.site.Peer}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{m.site.Client}, []url.URL{m.site.Client}
	config.InitialCluster = m.site.Initial
	secure := transport.TLSInfo{CertFile: m.site.CertFile, KeyFile: m.site.KeyFile, TrustedCAFile: m.site.CAFile, ClientCertAuth: true}
	config.ClientTLSInfo, config.PeerTLSInfo = secure, secure
	config.TickMs, config.ElectionMs = uint(etcdtest.Heartbeat.Milliseconds()), uint(etcdtest.Election.Milliseconds())
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	life, cut := context.WithCancel(context.Background())
	m.cut = cut
	config.GRPCAdditionalServerOptions = []grpc.ServerOption{grpc.ChainUnaryInterceptor(cutUnary(life)), grpc.ChainStreamInterceptor(cutStream(life))}
	m.running, err = embed.StartEtcd(config)
	return err
}

// Leads implements etcdtest.Member.
func (m *embedded) Leads() bool {
	return m.running != nil && m.running.Server.Leader() == m.running.Server.MemberID()
}

// Kill implements etcdtest.Member. etcd can only be stopped in an orderly way: a leader hands
// over its leadership, and every member waits for its clients. A member that dies does
// neither. Therefore Kill first cuts the member off from its peers and clients, and waits
// until it has noticed that it leads no more.
func (m *embedded) Kill() {
	if m.running == nil {
		return
	}
	server := m.running.Server
	for _, peer := range server.Cluster().Members() {
		if peer.ID != server.MemberID() {
			server.CutPeer(peer.ID)
		}
	}
	m.cut()
	tick := time.NewTicker(etcdtest.Heartbeat)
	defer tick.Stop()
	for deadline := time.Now().Add(killTime); m.Leads() && time.Now().Before(deadline); {
		<-tick.C
	}
	m.running.Close()
	m.running = nil
}

// killTime bounds the wait for a leader to find out that it leads no more.
const killTime = 30 * time.Second

// cutUnary ends the context of calls when life ends.
func cutUnary(life context.Context) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		return handler(ctx, req)
	}
}

// cutStream does the same for streams.
func cutStream(life context.Context) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(life, cancel)()
		return handler(srv, &mortal{stream, ctx})
	}
}

// mortal is a stream whose context ends when the member is killed.
type mortal struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (m *mortal) Context() context.Context { return m.ctx }
