package local

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"
)

// Limits of requests. kfake has none: it allocates the size that a frame declares, of which the first bytes of an HTTP
// request are 1.2 GB, and panics on an unknown request key.
const (
	maxProduce     = 100 << 20 // Kafka's socket.request.max.bytes
	maxRequest     = 1 << 20   // of all other requests
	maxTopics      = 10_000    // of one produce request
	maxPartitions  = 10_000    // of one topic
	maxConnections = 1000

	idleTimeout  = 10 * time.Minute // Kafka's connections.max.idle.ms
	frameTimeout = 30 * time.Second // from the first bytes of a frame to its last

	// guardMemory bounds what the requests of all connections take until they are decoded. A request that takes up to freeMemory
	// never waits for others.
	guardMemory = 1 << 30
	freeMemory  = 128 << 10
	// What a byte of a request may become: kmsg's topics take some 64 bytes and can be encoded in 2, partitions to produce take 40
	// and are encoded in 6.
	decodedRequest = 32
	decodedProduce = 8

	peekSize = 4 << 10
)

// guard is a listener that passes on known requests of a bounded size and closes connections that send anything else.
type guard struct {
	net.Listener
	versions *kversion.Versions
	memory   *semaphore.Weighted
	refused  func(from net.Addr, reason error)
}

func newGuard(ln net.Listener, v *kversion.Versions, refused func(net.Addr, error)) *guard {
	return &guard{netutil.LimitListener(ln, maxConnections), v, semaphore.NewWeighted(guardMemory), refused}
}

func (g *guard) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: conn, guard: g, in: bufio.NewReaderSize(conn, peekSize)}, nil
}

// guardedConn is read by one goroutine, which starts to read a frame after it has decoded the previous one.
type guardedConn struct {
	net.Conn
	guard *guard
	in    *bufio.Reader
	left  int64 // bytes of the current frame

	held   atomic.Int64 // bytes of guard.memory
	closed atomic.Bool
}

func (c *guardedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.startFrame(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *guardedConn) startFrame() error {
	c.release()
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	head, err := c.in.Peek(8)
	if err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head))
	key, version := int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))
	if err := c.guard.check(size, key, version); err != nil {
		c.guard.refused(c.RemoteAddr(), err)
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(frameTimeout)); err != nil {
		return err
	}
	if err := c.reserve(size, key); err != nil {
		c.guard.refused(c.RemoteAddr(), err)
		return err
	}
	if key == int16(kmsg.Produce) {
		start, err := c.in.Peek(int(min(4+size, peekSize)))
		if err != nil {
			return err
		}
		if n := topicsToProduce(version, start[8:]); n < 0 || n > maxTopics {
			err := fmt.Errorf("produce request malformed, or of more than %d topics", maxTopics)
			c.guard.refused(c.RemoteAddr(), err)
			return err
		}
	}
	c.left = 4 + size
	return nil
}

// reserve takes the memory of a request until the next one starts.
func (c *guardedConn) reserve(size int64, key int16) error {
	memory := decodedRequest * size
	if key == int16(kmsg.Produce) {
		memory = decodedProduce * size
	}
	if memory <= freeMemory {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), frameTimeout)
	defer cancel()
	if err := c.guard.memory.Acquire(ctx, memory); err != nil {
		return fmt.Errorf("no memory for a request of %d bytes: other connections use all of it", size)
	}
	c.held.Store(memory)
	if c.closed.Load() {
		c.release()
	}
	return nil
}

func (c *guardedConn) release() { c.guard.memory.Release(c.held.Swap(0)) }

func (c *guardedConn) Close() error {
	c.closed.Store(true)
	c.release()
	return c.Conn.Close()
}

// check judges a request by its first bytes.
func (g *guard) check(size int64, key, version int16) error {
	limit := int64(maxRequest)
	if key == int16(kmsg.Produce) {
		limit = maxProduce
	}
	if size < 8 || size > limit { // key, version and correlation ID take 8
		return fmt.Errorf("not a Kafka request, or not of 8 to %d bytes", limit)
	}
	newest, known := g.versions.LookupMaxKeyVersion(key)
	if !known || kmsg.RequestForKey(key) == nil {
		return fmt.Errorf("unknown request key %d", key)
	}
	// Clients newer than this broker get its versions from any version of ApiVersions.
	if version < 0 || version > newest && key != int16(kmsg.ApiVersions) {
		return fmt.Errorf("request key %d has no version %d", key, version)
	}
	return nil
}

// topicsToProduce is how many topics a produce request declares, read from its
// start after key and version. It is negative if that is malformed.
func topicsToProduce(version int16, start []byte) int32 {
	const flexible = 9
	r := kbin.Reader{Src: start}
	r.Int32()          // correlation ID
	r.NullableString() // client ID
	if version >= flexible {
		kmsg.SkipTags(&r)
		r.CompactNullableString() // transactional ID
	} else {
		r.NullableString()
	}
	r.Int16() // acks
	r.Int32() // timeout
	var n int32
	if version >= flexible {
		n = int32(r.Uvarint()) - 1
	} else {
		n = r.Int32()
	}
	if !r.Ok() {
		return -1
	}
	return n
}

// guardRequests closes connections that send a well-formed request that kfake does not survive. It controls these requests alone:
// kfake keeps the last one of each connection that it shows to a control function.
func guardRequests(cluster *kfake.Cluster) {
	for _, key := range []kmsg.Key{kmsg.CreateTopics, kmsg.CreatePartitions, kmsg.JoinGroup} {
		cluster.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
			if err := checkRequest(r); err != nil {
				cluster.KeepControl()
				return nil, err, true
			}
			return nil, nil, false
		})
	}
}

func checkRequest(r kmsg.Request) error {
	var partitions int32
	switch r := r.(type) {
	case *kmsg.CreateTopicsRequest: // kfake is blocked while it creates partitions by the billion
		for _, t := range r.Topics {
			partitions = max(partitions, t.NumPartitions)
		}
	case *kmsg.CreatePartitionsRequest:
		for _, t := range r.Topics {
			partitions = max(partitions, t.Count)
		}
	case *kmsg.JoinGroupRequest: // a repeated protocol makes kfake panic
		names := map[string]bool{}
		for _, p := range r.Protocols {
			if names[p.Name] {
				return errors.New("a group protocol is repeated")
			}
			names[p.Name] = true
		}
	}
	if partitions > maxPartitions {
		return fmt.Errorf("a topic of this broker may have up to %d partitions", maxPartitions)
	}
	return nil
}
