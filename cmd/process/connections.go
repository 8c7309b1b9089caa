package process

// The descriptors that a process keeps back from the connections that its listeners
// accept. They are for the files of the store and of the state directory, listeners,
// connections to the control plane and to etcd, health and metrics.
const (
	// An eighth of the limit, but no less than a small store and the two admin listeners
	// take, and no more than the largest store takes.
	keptPart, minKept, maxKept = 8, 128, 4096
	// apiPart divides the rest where the API shares a process with an edge: the API gets
	// this part, because edges and Warpgates call it only now and then.
	apiPart = 8
)

// Connections is how many connections each service of a process may have open, so that
// all of them stay below its limit on descriptors. Zero means that there is no limit. For
// a Warpgate it counts data connections: with each comes a connection to the workload.
type Connections struct{ API, Edge, Warpgate int }

// Services are those in one process.
type Services struct {
	API, Edge bool
	// Warpgate says that a Warpgate runs in the process: its ends of the tunnels and its
	// connections to the workload take descriptors too.
	Warpgate bool
}

// Divide divides what the limit allows among the services of a process.
func Divide(s Services) Connections {
	limit, ok := descriptors()
	if !ok {
		return Connections{}
	}
	return divide(int(min(limit, 1<<30)), s)
}

func divide(limit int, s Services) (c Connections) {
	rest := limit - min(max(limit/keptPart, minKept), maxKept)
	if s.API {
		c.API = rest
		if s.Edge {
			c.API = rest / apiPart
		}
		rest -= c.API
	}
	if s.Edge {
		c.Edge = rest
		if s.Warpgate {
			// Half of an edge's connections are tunnels. The Warpgate has the other end of
			// each, and a connection to the workload with it.
			c.Edge = rest / 2
		}
		rest -= c.Edge
	}
	if s.Warpgate {
		c.Warpgate = rest / 2
	}
	return c
}
