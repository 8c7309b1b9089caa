package main

import (
	"math"
	"slices"
)

// Names of the targets that goals speak of.
const (
	nameDirect    = "workload"
	nameDirectTLS = "workload, TLS"
	nameGoProxy   = "ReverseProxy"
	nameNginx     = "nginx"
	nameOurs      = "edge + Warpgate"
	nameBefore    = "before"
	nameEngine    = "bare Badger"
	nameEtcd      = "bare etcd"
	nameControl   = "control plane"
)

// goal is one figure to reach.
type goal struct {
	what  string
	least bool // the bound is the least, not the most
	bound float64
	unit  string
	of    func(r *results) float64
}

func (g goal) met(v float64) bool {
	return !math.IsNaN(v) && (v == g.bound || v > g.bound == g.least)
}

func (g goal) reach() string {
	sign := "≤ "
	if g.least {
		sign = "≥ "
	}
	return sign + format(g.bound) + g.unit
}

// ours is a figure of ours, by itself.
func ours(measure, name string) func(*results) float64 {
	return func(r *results) float64 { return r.get(measure, nameOurs, name) }
}

// ofControl is a figure of a control plane by itself.
func ofControl(measure, name string) func(*results) float64 {
	return func(r *results) float64 { return r.get(measure, nameControl, name) }
}

// ofDaemon is a figure of the local daemon and its commands.
func ofDaemon(measure, name string) func(*results) float64 {
	return func(r *results) float64 { return r.get(measure, nameDaemon, name) }
}

// ofCrowd is a figure of sessions, among so many.
func ofCrowd(n int, name string) func(*results) float64 {
	return func(r *results) float64 { return r.get("sessions", among(n), name) }
}

// ratioTo is a figure of ours divided by a reference's.
func ratioTo(measure, name, reference string) func(*results) float64 {
	return func(r *results) float64 { return r.against(measure, name, nameOurs, reference, ratio) }
}

// added is a figure of ours minus a reference's.
func added(measure, name, reference string) func(*results) float64 {
	return func(r *results) float64 { return r.against(measure, name, nameOurs, reference, difference) }
}

// growth is a figure of the largest directory divided by the smallest's.
func growth(name string) func(*results) float64 {
	return func(r *results) float64 { return r.against("manyusers", name, nameLargest, sized(leastUsers), ratio) }
}

// within is one figure of a target divided by another of its own, in the same round.
func within(measure, name, reference, target string) func(*results) float64 {
	return func(r *results) float64 {
		a, b := r.find(measure, target, name), r.find(measure, target, reference)
		if a == nil || b == nil {
			return math.NaN()
		}
		var out []value
		for i := range min(len(a.Rounds), len(b.Rounds)) {
			out = append(out, a.Rounds[i]/b.Rounds[i])
		}
		return float64(median(out))
	}
}

// beyond is one figure of a target minus another of its own, in the same round.
func beyond(measure, name, reference, target string) func(*results) float64 {
	return func(r *results) float64 {
		a, b := r.find(measure, target, name), r.find(measure, target, reference)
		if a == nil || b == nil {
			return math.NaN()
		}
		var out []value
		for i := range min(len(a.Rounds), len(b.Rounds)) {
			out = append(out, a.Rounds[i]-b.Rounds[i])
		}
		return float64(median(out))
	}
}

// worse is how much more a figure of ours exceeds a base figure of ours than the
// reference's exceeds its own, in the same round.
func worse(measure, name, base, target, reference string) func(*results) float64 {
	return func(r *results) float64 {
		a, b := r.find(measure, target, name), r.find(measure, target, base)
		c, d := r.find(measure, reference, name), r.find(measure, reference, base)
		if a == nil || b == nil || c == nil || d == nil {
			return math.NaN()
		}
		var out []value
		for i := range min(len(a.Rounds), len(b.Rounds), len(c.Rounds), len(d.Rounds)) {
			out = append(out, a.Rounds[i]/b.Rounds[i]/(c.Rounds[i]/d.Rounds[i]))
		}
		return float64(median(out))
	}
}

// goals are what is to be reached.
var goals = slices.Concat(goalsOfPrograms, goalsOfFloods(), goalsOfAttacks(), goalsOfFirewall)

// goalsOfFloods are those of each kind of flood.
func goalsOfFloods() (all []goal) {
	for _, f := range floods {
		before, beside := beforeFlood+f.name+p99Suffix, besideFlood+f.name
		all = append(all,
			goal{"p99 of small requests " + beside + " ÷ alone", false, 2, "", within("floods", beside+p99Suffix, before, nameOurs)},
			goal{"the same ÷ ReverseProxy's, if that is missed", false, 1.2, "", worse("floods", beside+p99Suffix, before, nameOurs, nameGoProxy)},
			goal{"GOAWAY to it", false, 1000, " ms", ours("floods", beside+endSuffix)})
	}
	return all
}

// goalsOfFirewall are those of what the firewall costs.
var goalsOfFirewall = []goal{
	{"CPU of the edge for the worst head, firewall on", false, 200, " ms", ours("firewall", figWorstHead)},
	{"CPU of the edge for the worst body, firewall on", false, 200, " ms", ours("firewall", figWorstBody)},
	{"p99 of guarded requests beside one address that sends worst bodies ÷ alone", false, 2, "", within("firewall", figFirewallBeside+p99Suffix, figFirewallAlone+p99Suffix, nameOurs)},
}

// goalsOfAttacks are those of each kind of hostile connections.
func goalsOfAttacks() (all []goal) {
	for _, k := range hostileKinds {
		before, beside := beforeAttack+k.name+p99Suffix, besideAttack+k.name
		all = append(all,
			goal{"p99 of small requests " + beside + " ÷ alone", false, 2, "", within("attack", beside+p99Suffix, before, nameOurs)},
			goal{"the same ÷ ReverseProxy's, if that is missed", false, 1.2, "", worse("attack", beside+p99Suffix, before, nameOurs, nameGoProxy)},
			goal{"memory of the edge for each", false, 64, " KiB", ours("attack", beside+perHostile)})
	}
	return all
}

// goalsOfPrograms are all others, in the order of docs/performance.md.
var goalsOfPrograms = []goal{
	{"HTTP/1.1 requests/s ÷ ReverseProxy", true, 1, "", ratioTo("http1", figRate, nameGoProxy)},
	{"HTTP/1.1 requests/s ÷ nginx", true, 0.65, "", ratioTo("http1", figRate, nameNginx)},
	{"CPU of HTTP/1.1 requests ÷ ReverseProxy", false, 0.85, "", ratioTo("http1", figCPU, nameGoProxy)},
	{"HTTP/2 requests/s ÷ ReverseProxy", true, 1.25, "", ratioTo("http2", figRate, nameGoProxy)},
	{"CPU of HTTP/2 requests ÷ ReverseProxy", false, 0.85, "", ratioTo("http2", figCPU, nameGoProxy)},
	{"the same ÷ our own of HTTP/1.1", false, 1.35, "", within("http2", figCPU, figCPU1, nameOurs)},
	{"calls of gRPC/s ÷ ReverseProxy over h2c", true, 1.2, "", ratioTo("grpc", figUnary, nameGoProxy)},
	{"download, one stream ÷ nginx", true, 0.65, "", ratioTo("bulk", figDown1, nameNginx)},
	{"download, eight streams ÷ nginx", true, 0.6, "", ratioTo("bulk", figDown8, nameNginx)},
	{"CPU-s per GiB down", false, 3.0, "", ours("bulk", figDown1+cpuSuffix)},
	{"upload, one stream ÷ nginx", true, 0.95, "", ratioTo("bulk", figUp1, nameNginx)},
	{"upload, eight streams ÷ nginx", true, 0.8, "", ratioTo("bulk", figUp8, nameNginx)},
	{"CPU-s per GiB up", false, 3.2, "", ours("bulk", figUp1+cpuSuffix)},
	{"download over HTTP/2, one stream ÷ nginx", true, 0.7, "", ratioTo("bulk-h2", figDown1, nameNginx)},
	{"download over HTTP/2, eight streams of one connection ÷ nginx", true, 0.7, "", ratioTo("bulk-h2", figDown8, nameNginx)},
	{"upload over HTTP/2, one stream ÷ nginx", true, 0.7, "", ratioTo("bulk-h2", figUp1, nameNginx)},
	{"upload over HTTP/2, eight streams of one connection ÷ nginx", true, 0.7, "", ratioTo("bulk-h2", figUp8, nameNginx)},
	{"median added at one connection over the workload", false, 250, " µs", added("latency", figP50us, nameDirect)},
	{"new TLS connections/s ÷ nginx", true, 0.95, "", ratioTo("connections", figRate, nameNginx)},
	{"p99 of small requests beside a slow and a fast download ÷ ReverseProxy", false, 1.1, "", ratioTo("line", figSlowFast+p99Suffix, nameGoProxy)},
	{"the fast download ÷ nginx", true, 0.75, "", ratioTo("line", figSlowFast+rateSuffix, nameNginx)},
	{"p99 of small requests beside both on one connection of HTTP/2 ÷ ReverseProxy", false, 1.1, "", ratioTo("line-h2", figSlowFast+p99Suffix, nameGoProxy)},
	{"the fast download there ÷ nginx", true, 0.75, "", ratioTo("line-h2", figSlowFast+rateSuffix, nameNginx)},
	{"per idle Warpgate at the edge", false, 64, " KiB", ours("idle", figPerWarpgate)},
	{"per idle WebSocket at edge + Warpgate", false, 100, " KiB", ours("idle", figPerSocket)},
	{"per idle connection of HTTP/2 at the edge", false, 24, " KiB", ours("idle-h2", figPerConnection)},
	{"per idle WebSocket over HTTP/2 at edge + Warpgate", false, 40, " KiB", ours("idle-h2", figPerSocket)},
	{"a slow reader of an h2c workload, at the edge", false, 64, " KiB", ours("readers-h2", figReader(readerHTTP2, "h2c")+partEdge)},
	{"the same at the Warpgate", false, 64, " KiB", ours("readers-h2", figReader(readerHTTP2, "h2c")+partWarpgate)},
	{"good again after the edge was killed and listens", false, 300, " ms", ours("recovery", figEdgeBack)},
	{"good again after the Warpgate was killed and is started", false, 50, " ms", ours("recovery", figWarpgateBack)},
	{"size of warpgate, stripped", false, 15, " MB", ours("start", figSize)},
	{"resident memory of an idle warpgate", false, 20, " MiB", ours("start", figResident)},
	{"first registration", false, 300, " ms", ours("start", figRegistration)},
	{"a change in force at the edge, median", false, 50, " ms", ours("changes", figEffectiveP50)},
	{"a change in force at the edge, p99", false, 1000, " ms", ours("changes", figEffectiveP99)},
	{"p99 of small requests beside 5,000 slow heads ÷ alone", false, 2, "", within("crowd", figCrowd+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"the same ÷ ReverseProxy's, if that is missed", false, 1.2, "", worse("crowd", figCrowd+p99Suffix, figAlone+p99Suffix, nameOurs, nameGoProxy)},
	{"p99 of small requests beside a silent crowd at the limit ÷ alone", false, 2, "", within("silent", figKeptBeside+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"the same on new connections", false, 2, "", within("silent", figNewBeside+p99Suffix, figNewAlone+p99Suffix, nameOurs)},
	{"p99 of calls of the API beside the same ÷ alone", false, 2, "", within("silent", figKeptBeside+p99Suffix, figAlone+p99Suffix, nameControl)},
	{"a slow reader over h2c:// beyond one over http://", false, 256, " KiB", beyond("slowreaders", figSlowReader+"h2c", figSlowReader+"http", nameOurs)},
	{"a slow reader over https:// beyond one over http://", false, 256, " KiB", beyond("slowreaders", figSlowReader+"https", figSlowReader+"http", nameOurs)},
	{"failed POSTs beyond net/http's client, before a workload that refuses streams", false, 0, "", func(r *results) float64 {
		return r.against("refusals", figFailedPosts, nameOurs, nameStock, difference)
	}},
	{"p99 of small requests beside 5,000 slow small bodies over HTTP/2 ÷ alone", false, 2, "", within("places", figSmallSlow+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"the same ÷ ReverseProxy's, if that is missed", false, 1.2, "", worse("places", figSmallSlow+p99Suffix, figAlone+p99Suffix, nameOurs, nameGoProxy)},
	{"the same over HTTP/1.1", false, 2, "", within("places", figSmallSlow1+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"beside 3,000 slow large bodies over HTTP/2", false, 2, "", within("places", figLargeSlow+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"the same ÷ ReverseProxy's, if that is missed", false, 1.2, "", worse("places", figLargeSlow+p99Suffix, figAlone+p99Suffix, nameOurs, nameGoProxy)},
	{"one request by the dearest patterns that are accepted", false, 2, " ms", ours("patterns", figHostileCost)},
	{"p99 of small requests beside 100 of them a second ÷ alone", false, 2, "", within("patterns", figBesideHostile+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"an edge with 200,000 revocations is ready again", false, 3000, " ms", ours("revocations", figRevokedStart)},
	{"resident memory of that edge", false, 100, " MiB", ours("revocations", figRevokedEdge)},
	{"a Warpgate with 200,000 is ready again", false, 3000, " ms", ours("revocations", figRevokedBack)},
	{"resident memory of that Warpgate", false, 100, " MiB", ours("revocations", figRevokedGate)},
	{"look-up of a session among 200,000", false, 1000, " ns", ours("revocations", figLookupMany)},
	{"a Warpgate registers at that edge", false, 1000, " ms", ours("revocations", figRevokedWelcome)},
	{"a known session at an edge, of 1; median", false, 10, " µs", ofCrowd(oneSession, figKnownEdge+medianUs)},
	{"the same of 100,000", false, 10, " µs", ofCrowd(manySessions, figKnownEdge+medianUs)},
	{"its allocations", false, 2, "", ofCrowd(manySessions, figAllocsEdge)},
	{"a known session at a Warpgate, of 1; median", false, 10, " µs", ofCrowd(oneSession, figKnownWarpgate+medianUs)},
	{"the same of 100,000", false, 10, " µs", ofCrowd(manySessions, figKnownWarpgate+medianUs)},
	{"its allocations", false, 2, "", ofCrowd(manySessions, figAllocsWarpgate)},
	{"a session seen for the first time at an edge, of 100,000; median", false, 200, " µs", ofCrowd(manySessions, figFirstEdge+medianUs)},
	{"the same at a Warpgate", false, 200, " µs", ofCrowd(manySessions, figFirstWarpgate+medianUs)},
	{"a known session adds at the edge, CPU", false, 10, " µs", beyond("login-grant", figOneSession+sessionEdge, figNoSession+sessionEdge, nameOurs)},
	{"the same at the Warpgate", false, 10, " µs", beyond("login-grant", figOneSession+sessionWarpgate, figNoSession+sessionWarpgate, nameOurs)},
	{"one of 100,000 known sessions adds at the edge, CPU", false, 10, " µs", beyond("login-grant", figManySessions+sessionEdge, figNoSession+sessionEdge, nameOurs)},
	{"the same at the Warpgate", false, 10, " µs", beyond("login-grant", figManySessions+sessionWarpgate, figNoSession+sessionWarpgate, nameOurs)},
	{"a session at first sight adds at the edge, CPU", false, 200, " µs", beyond("login-grant", figFirstSight+sessionEdge, figNoSession+sessionEdge, nameOurs)},
	{"the same at the Warpgate", false, 200, " µs", beyond("login-grant", figFirstSight+sessionWarpgate, figNoSession+sessionWarpgate, nameOurs)},
	{"a suspended user is cut at two edges and a Warpgate, median", false, 100, " ms", ours("login-revoke", figCutAll)},
	{"the same, the longest", false, 5000, " ms", ours("login-revoke", figCutLast)},
	{"refreshes a second", true, 0.98 * refreshRate, "", ofControl("login-refresh", figRefresh+sessionRate)},
	{"login page through the edge, median", false, 20, " ms", ours("login-page", figLoginPage)},
	{"requests/s beside saturated hashing ÷ alone", true, 0.45, "", within("login-hash", figBesideLogins+sessionRate, figAlone+sessionRate, nameOurs)},
	{"p99 of them beside it ÷ alone", false, 3, "", within("login-hash", figBesideLogins+p99Suffix, figAlone+p99Suffix, nameOurs)},
	{"memory of hashing", false, 256, " MiB", ours("login-hash", figHashMemory)},
	{"mezu version", false, 40, " ms", ofDaemon("developer", figVersion)},
	{"the local daemon, from nothing to ready", false, 500, " ms", ofDaemon("developer", figDaemonReady)},
	{"mezu tunnel until the first byte, daemon warm", false, 300, " ms", ofDaemon("developer", figFirstWarm)},
	{"the same with project, environment and route made", false, 800, " ms", ofDaemon("developer", figFirstMade)},
	{"requests/s through the local daemon ÷ warpgate", true, 0.97, "", func(r *results) float64 {
		return r.against("developer", figRate, nameDaemon, nameOurs, ratio)
	}},
	{"good again after the local daemon was killed", false, 3000, " ms", ofDaemon("developer", figDaemonBack)},
	{"good again after the network returns", false, 2000, " ms", ofDaemon("network", figNetworkBack)},
	{"resident memory of an idle daemon with five tunnels", false, 40, " MiB", ofDaemon("developer", figDaemonIdle)},
	{"its CPU", false, 0.5, " % of a core", ofDaemon("developer", figDaemonCPU)},
	{"each further tunnel", false, 3, " MiB", ofDaemon("developer", figPerTunnel)},
	{"requests/s with recording and the dashboard open ÷ --inspect off", true, 0.95, "", func(r *results) float64 {
		return r.against("inspector", figRate, nameDrawn, nameOff, ratio)
	}},
	{"requests/s with --inspect off ÷ warpgate", true, 0.97, "", func(r *results) float64 {
		return r.against("inspector", figRate, nameOff, nameOurs, ratio)
	}},
	{"frames of the dashboard meanwhile, at 12 keys a second", true, 10, "/s", func(r *results) float64 { return r.get("inspector", nameDrawn, figFrames) }},
	{"memory that recording adds, after 2 GiB of bodies", false, 64, " MiB", ofDaemon("inspector", figRecorded)},
	{"first frame of the dashboard", false, 150, " ms", ofDaemon("inspector", figFirstDraw)},
	{"a key of it, with 500 exchanges and a filter text:", false, 50, " ms", ofDaemon("inspector", figKey)},
	{"resident memory of the dashboard", false, 60, " MiB", ofDaemon("inspector", figDrawIdle)},
	{"its CPU when nothing happens", false, 2, " % of a core", ofDaemon("inspector", figDrawCPU)},
	{"size of warpgate, stripped", false, 15, " MB", ofDaemon("inspector", figGateSize)},
	{"its resident memory, idle", false, 20, " MiB", ofDaemon("inspector", figGateIdle)},
	{"its start, registration included", false, 100, " ms", ofDaemon("inspector", figGateStart)},
	{"p99 of a tenant's calls beside a loud tenant ÷ alone", false, 1.5, "", within("tenants", figQuietNoisy+p99Suffix, figQuiet+p99Suffix, nameControl)},
	{"the same ÷ that of a server that only refuses, if that is missed", false, 1.2, "", worse("tenants", figQuietNoisy+p99Suffix, figQuiet+p99Suffix, nameControl, nameRefuser)},
	{"dearest body of the API that is refused", false, 0.5, " s per MiB", ofControl("bodies", figBodySeconds)},
	{"memory of the dearest of 2 MiB or more ÷ its size", false, 8, "", ofControl("bodies", figBodyMemory)},
	{"dearest body of the API that is taken", false, 0.5, " s per MiB", ofControl("bodies", figTakenSeconds)},
	{"memory of the dearest of 2 MiB or more that is taken ÷ its size", false, 8, "", ofControl("bodies", figTakenMemory)},
	{"memory of mezu validate ÷ size of the file", false, 10, "", ofControl("bodies", figFileMemory)},
	{"cold start of a control plane with 100,000 environments", false, 10_000, " ms", ours("cold", figColdStart)},
	{"its resident memory", false, 1536, " MiB", ours("cold", figColdResident)},
	{"lookup by mail, largest directory ÷ 1,000 users", false, 2, "", growth(figLookup)},
	{"lookup by mail ÷ bare Badger, largest directory ÷ 1,000 users", false, 1, "", growth(figTimes)},
	{"first page, largest directory ÷ 1,000 users", false, 2, "", growth(figFirst)},
	{"last page, largest directory ÷ 1,000 users", false, 2, "", growth(figLast)},
}
