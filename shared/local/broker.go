// Package local is the embedded Kafka broker: franz-go's pkg/kfake, a test broker that speaks the real protocol, made safe to
// keep data on. One node, one process, no authentication; for a laptop and a single machine.
//
// It guarantees:
//   - One process per folder and one per address. The folder is private to its user.
//   - A response of any kind is sent once all that the broker wrote before it is synced to the disk. So acknowledged records,
//     committed offsets and what a consumer has read survive kill -9 and power cuts, in order. acks=1 is as safe as acks=all.
//   - After a sync that failed, or a batch that could not be written and whose client could not be answered, there are no
//     responses until a restart; [Broker.Check] returns the error.
//   - Connections that send anything but a Kafka client's requests are closed; the size of requests is bounded.
//   - Clients continue when the broker is back at its address. What an idempotent producer had in flight at a kill is stored
//     once and in order; a consumer gets again what it had not committed, and misses nothing.
//   - Torn ends and entries are removed and logged. Other damage is refused, and the file left as it is.
//   - Only DeleteTopics deletes records: retention and compaction may be declared and are not applied, DeleteRecords is not
//     offered, committed offsets do not expire.
//
// Most of it is done on the files before kfake opens them: run the tests before upgrading kfake.
//
// It does not guarantee, measured on two cores and a fast disk:
//   - Speed: the broker is one goroutine, and syncs for some 0.3 ms per publish; publishers on one client share that, those on
//     several take turns. Opening reads the whole log: 250 MB in 0.5 s, a segment of each partition at a time: memory peaks at
//     some 150 MB, and at the size of the log if versions with segments of 100 MB wrote it.
//   - Transactions across restarts: one that was aborted, or that a kill interrupted, counts as committed then. Share groups.
//   - A full disk fails the publish (UNKNOWN_SERVER_ERROR, which kgo does not retry). A commit of offsets that it refuses is
//     confirmed, and lost if the broker ends before the group commits again: its consumer gets those records again.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// Options of the broker.
type Options struct {
	Dir     string       // data folder, private to this user; created if missing
	Address string       // host:port of one interface; port 0 is a free port
	Logger  *slog.Logger // nil: silent

	fsync func(*os.File) error // of tests
}

// Broker is a running broker.
type Broker struct {
	address string
	files   *syncer
	close   func() error
}

// Open starts the broker on the folder's data and returns once it serves.
func Open(ctx context.Context, o Options) (b *Broker, err error) {
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if err := MakePrivate(o.Dir, o.Logger); err != nil {
		return nil, fmt.Errorf("embedded broker: %w", err)
	}
	lock := flock.New(filepath.Join(o.Dir, "broker.lock")) // never removed: two processes could lock it and its successor
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("embedded broker: lock folder %s: %w", o.Dir, err)
	}
	if !held {
		return nil, fmt.Errorf("embedded broker: data folder is in use by another process: %s (stop it, connect to its broker, or "+
			"choose another folder)", o.Dir)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("embedded broker: open %s: %w", o.Dir, errors.Join(err, lock.Close()))
		}
	}()
	defer debug.SetGCPercent(debug.SetGCPercent(25)) // the whole log is read, a part at a time
	if err := restoreJournal(o.Dir, o.Logger); err != nil {
		return nil, err
	}
	if err := repair(o.Dir, o.Logger); err != nil {
		return nil, err
	}
	ln, err := listen(ctx, o.Address)
	if err != nil {
		return nil, err
	}
	files := newSyncer(o.Dir, o.Logger)
	if o.fsync != nil {
		files.fsync, files.datasync = o.fsync, o.fsync
	}
	if err := files.StartJournal(); err != nil { // what a killed broker wrote, and had not synced yet
		_ = ln.Close()
		return nil, err
	}
	guard := newGuard(ln, files, o.Logger)
	cluster, err := kfake.NewCluster(clusterOptions(o, guard, guard.writeFailed)...)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	guard.setCluster(cluster)
	debug.FreeOSMemory() // the heap would keep that size for minutes
	return &Broker{address: ln.Addr().String(), files: files, close: sync.OnceValue(func() error {
		guard.setCluster(nil)
		cluster.Close()
		return errors.Join(files.Close(), lock.Close())
	})}, nil
}

// listen opens the listener. Its address is the one that clients are redirected to, so it must be one interface.
func listen(ctx context.Context, address string) (net.Listener, error) {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return nil, fmt.Errorf("address %q must be a port of one interface, for example 127.0.0.1:9092", address)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w (stop the other program, or choose another port; 0 takes a free one)", err)
	}
	return ln, err
}

// century means never. kfake converts these settings into nanoseconds in an int64, which ends after 292 years.
const century = 100 * 365 * 24 * time.Hour

func clusterOptions(o Options, ln net.Listener, writeFailed func()) []kfake.Opt {
	return []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.DataDir(o.Dir),
		kfake.ClusterID("sipeat-local"),
		kfake.WithLogger(logger{o.Logger, writeFailed}),
		// kfake would listen on 127.0.0.1 only; it gets the open listener.
		kfake.ListenFn(func(string, string) (net.Listener, error) { return ln, nil }),
		kfake.MaxVersions(versions()),
		kfake.BrokerConfigs(map[string]string{
			// The cleaner's interval. The cleaner applies retention to all topics as soon as one declares any, and compaction deletes a
			// partition's files before it writes the new ones.
			"log.cleaner.backoff.ms":       fmt.Sprint(century.Milliseconds()),
			"log.segment.bytes":            "8388608", // opening takes one of each partition into memory
			"log.retention.ms":             "-1",
			"log.retention.bytes":          "-1",
			"offsets.retention.minutes":    fmt.Sprint(int(century.Minutes())), // default 7 days
			"group.min.session.timeout.ms": "1000",                             // default 6 s
		}),
	}
}

// versions are Kafka's without those that kfake answers wrongly, or that need its indexes. Java's admin client fails on some
// answers; it then uses an older request.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 12) // 13 panics if two topics are unknown
	v.SetMaxKeyVersion(int16(kmsg.CreateTopics), 4)
	v.SetMaxKeyVersion(int16(kmsg.ListGroups), 4)
	for _, none := range []kmsg.Key{
		kmsg.DescribeTopicPartitions, kmsg.ElectLeaders,
		kmsg.DeleteRecords, // kfake restarts an emptied partition at offset 0, and groups would skip records
	} {
		v.SetMaxKeyVersion(int16(none), -1)
	}
	return v
}

// Address is the host:port that the broker listens on and advertises.
func (b *Broker) Address() string { return b.address }

// Check returns the error for which the broker acknowledges nothing, if there is one.
func (b *Broker) Check() error { return b.files.Err() }

// Close writes everything to disk, stops serving and unlocks the folder. Further calls return the first result. What kfake cannot
// save is logged as an error; the next Open repairs it as after a kill.
func (b *Broker) Close() error { return b.close() }

// logger passes kfake's log to slog: errors and warnings as they are, everything else (it logs requests at info) at debug.
type logger struct {
	slog        *slog.Logger
	writeFailed func() // called when kfake cannot write a batch, just before it truncates the segment to where that began
}

func (l logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
	case kfake.LogLevelWarn:
		if !strings.Contains(format, "EndTxn slow") { // of a few milliseconds, which is a sync of the disk
			to = slog.LevelWarn
		}
		if strings.HasPrefix(format, "persist batch") {
			l.writeFailed()
		}
	}
	if ctx := context.Background(); l.slog.Enabled(ctx, to) {
		l.slog.Log(ctx, to, fmt.Sprintf(format, args...))
	}
}
