package testkit

// OwnHTTP2 says that edges and Warpgates speak HTTP/2 by package h2. While net/http does, what real
// parts ask for and it doesn't do is expected to fail: the tests that look at this constant say
// what that is.
const OwnHTTP2 = true

// OwnHTTP2Client says the same of Warpgates towards their workloads alone.
const OwnHTTP2Client = true
