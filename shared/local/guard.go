package local

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"golang.org/x/net/netutil"
)

// Limits of requests. kfake has none: it allocates the size that a frame declares, of which the first bytes of an HTTP
// request are 1.2 GB, and panics on an unknown request key.
const (
	maxProduce     = 100 << 20 // Kafka's socket.request.max.bytes
	maxRequest     = 1 << 20   // of all other requests
	maxConnections = 1000
	idleTimeout    = 10 * time.Minute // Kafka's connections.max.idle.ms
	peekSize       = 4 << 10
	acceptPause    = 200 * time.Millisecond // after a failure
)

// guard is a listener that passes on known requests of a bounded size and closes connections that send anything else. It answers
// once all that kfake has written is synced: no answer tells of what a power cut could take back, be it an acknowledgement or
// another client's record.
type guard struct {
	net.Listener
	versions *kversion.Versions
	files    *syncer
	log      *slog.Logger
	// producing is held from a request that may write a batch or the marker of a transaction to its answer, so that of each
	// partition at most one is not synced: a power cut could take one of several that is not the last, which would look like
	// damage to [checkSegment].
	producing chan struct{}
	produced  atomic.Pointer[chan struct{}] // is closed when the request that holds producing is answered; nil: none holds it
	// transactions says that a transaction has been used. kfake writes the markers of those that time out without a request.
	transactions atomic.Bool
	unwritten    atomic.Bool // kfake could not write a batch of the request that holds producing, and it is not answered yet

	running sync.RWMutex // guards cluster
	cluster *kfake.Cluster
}

func newGuard(ln net.Listener, files *syncer, log *slog.Logger) *guard {
	return &guard{Listener: netutil.LimitListener(ln, maxConnections), versions: versions(), files: files, log: log,
		producing: make(chan struct{}, 1)}
}

// Accept tries again after a failure, such as too many open files: kfake would accept no connection any more.
func (g *guard) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	for ; err != nil && !errors.Is(err, net.ErrClosed); conn, err = g.Listener.Accept() {
		g.log.Warn("embedded broker: cannot accept a connection; trying again", "error", err)
		time.Sleep(acceptPause) //nolint:forbidigo // a backoff
	}
	if err != nil {
		return nil, err
	}
	c := &guardedConn{Conn: conn, guard: g, in: bufio.NewReaderSize(conn, peekSize), answering: make(chan struct{}, 1)}
	c.ended, c.end = context.WithCancel(context.Background())
	return c, nil
}

// writeFailed is called when kfake cannot write a batch, just before it truncates the segment to where that began.
func (g *guard) writeFailed() {
	g.files.suspendJournal()
	g.unwritten.Store(true)
}

// setCluster sets the cluster behind the guard; nil: it is about to be closed.
func (g *guard) setCluster(c *kfake.Cluster) {
	g.running.Lock()
	defer g.running.Unlock()
	g.cluster = c
}

// syncRecords returns once all records that kfake has written are synced, without a look at the files: those that are not are of
// the request that holds producing.
func (g *guard) syncRecords() error {
	if g.transactions.Load() {
		return g.files.Sync()
	}
	if produced := g.produced.Load(); produced != nil {
		<-*produced
	}
	return g.files.Err()
}

// settle returns once kfake has handled the requests that it has read.
func (g *guard) settle() {
	g.running.RLock()
	defer g.running.RUnlock()
	if g.cluster != nil {
		g.cluster.CoordinatorFor("") // is handled in turn
	}
}

// guardedConn is read by one goroutine, which starts to read a frame after it has decoded the previous one. Another one writes
// the answers, each by one call.
type guardedConn struct {
	net.Conn
	guard *guard
	in    *bufio.Reader
	left  int64   // bytes of the current frame
	frame request // in the current frame

	answering chan struct{} // held from a request to its answer
	request   request       // that kfake handles
	producing atomic.Bool   // it holds guard.producing
	ended     context.Context
	end       context.CancelFunc
}

// request is what matters of a request for its answer.
type request struct {
	produces bool
	silent   bool // the client expects no answer
	fetches  bool
}

func (c *guardedConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.startFrame(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	if c.left -= int64(n); c.left == 0 {
		if err := c.startRequest(); err != nil {
			return 0, err
		}
	}
	return n, err
}

// startRequest waits for the answer to the previous request, and until this one may produce.
func (c *guardedConn) startRequest() error {
	select {
	case c.answering <- struct{}{}:
	case <-c.ended.Done():
		return net.ErrClosed
	}
	if c.frame.produces {
		select {
		case c.guard.producing <- struct{}{}:
			produced := make(chan struct{})
			c.guard.produced.Store(&produced)
			c.producing.Store(true)
		case <-c.ended.Done():
		}
		if c.ended.Err() != nil {
			c.endProducing()
			return net.ErrClosed
		}
	}
	c.request = c.frame
	return nil
}

func (c *guardedConn) endProducing() {
	if c.producing.CompareAndSwap(true, false) {
		c.guard.unwritten.Store(false)
		close(*c.guard.produced.Swap(nil))
		<-c.guard.producing
	}
}

// Write writes an answer.
func (c *guardedConn) Write(p []byte) (int, error) {
	sync := c.guard.files.Sync
	if c.request.fetches {
		sync = c.guard.syncRecords
	}
	if err := sync(); err != nil {
		return 0, err // kfake closes the connection
	}
	silent := c.request.silent
	c.endProducing()
	<-c.answering
	if silent {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *guardedConn) startFrame() error {
	if err := c.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
		return err
	}
	head, err := c.in.Peek(8)
	if err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint32(head))
	key, version := int16(binary.BigEndian.Uint16(head[4:])), int16(binary.BigEndian.Uint16(head[6:]))
	err = c.guard.check(size, key, version)
	c.frame, c.left = request{}, 4+size
	switch kmsg.Key(key) {
	case kmsg.Produce:
		c.frame.produces = true
		if err == nil {
			err = c.startProduce(size, version)
		}
	case kmsg.EndTxn, kmsg.InitProducerID: // the latter aborts a transaction that was left open
		c.frame.produces = true
	case kmsg.Fetch:
		c.frame.fetches = true
	case kmsg.DeleteTopics: // the file system may give a segment's inode to that of a new topic of the name
		c.guard.files.suspendJournal()
	}
	if err != nil {
		c.guard.log.Debug("embedded broker: closed a connection", "from", c.RemoteAddr().String(), "reason", err)
	}
	return err
}

// startProduce checks the start of a produce request. One that wants no answer becomes one that is answered, and that is dropped,
// because kfake tells of nothing else that it has written a batch.
func (c *guardedConn) startProduce(size int64, version int16) error {
	start, err := c.in.Peek(int(min(4+size, peekSize)))
	if err != nil {
		return err
	}
	acks, transaction := startOfProduce(version, start[8:])
	if acks == nil {
		return errors.New("malformed produce request")
	}
	if transaction {
		c.guard.transactions.Store(true)
	}
	if binary.BigEndian.Uint16(acks) == 0 {
		c.frame.silent = true
		binary.BigEndian.PutUint16(acks, 1)
	}
	return nil
}

// Close ends the connection. A request to produce that was not answered may still be handled.
func (c *guardedConn) Close() error {
	c.end()
	if c.producing.Load() {
		go func() {
			c.guard.settle()
			c.guard.files.lost.CompareAndSwap(false, c.guard.unwritten.Load())
			_ = c.guard.files.Sync() // is logged
			c.endProducing()
		}()
	}
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
	// Clients newer than this broker get its versions from any version of ApiVersions.
	if !known || kmsg.RequestForKey(key) == nil || version < 0 || version > newest && key != int16(kmsg.ApiVersions) {
		return fmt.Errorf("unknown request: key %d, version %d", key, version)
	}
	return nil
}

// startOfProduce reads a produce request from behind its key and version: the bytes of its acks, nil if it is malformed, and
// whether it belongs to a transaction.
func startOfProduce(version int16, start []byte) (acks []byte, transaction bool) {
	const flexible = 9
	r := kbin.Reader{Src: start}
	r.Int32()          // correlation ID
	r.NullableString() // client ID
	var transactionalID *string
	if version >= flexible {
		kmsg.SkipTags(&r)
		transactionalID = r.CompactNullableString()
	} else {
		transactionalID = r.NullableString()
	}
	if acks = r.Span(2); !r.Ok() {
		return nil, false
	}
	return acks, transactionalID != nil
}
