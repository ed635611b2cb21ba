// Package port finds addresses for servers of tests.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Free returns an address of this machine, as host:port, without a listener. Its port is below those that systems give to
// outgoing connections and for port 0 (32768 and more on Linux, 49152 and more elsewhere, RFC 6335), so no other program takes
// it before a server of the test does, or does again.
func Free() (string, error) {
	var all error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 15_000+rand.IntN(15_000)))
		if err == nil {
			return l.Addr().String(), l.Close()
		}
		all = errors.Join(all, err)
	}
	return "", all
}
