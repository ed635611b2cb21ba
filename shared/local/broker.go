package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// DefaultAddress is Kafka's default address.
const DefaultAddress = "127.0.0.1:9092"

var (
	// ErrLocked: another broker has the folder open.
	ErrLocked = errors.New("data folder is in use by another process")
	// ErrAddressTaken: something else listens on the address.
	ErrAddressTaken = errors.New("address is in use")
	// ErrDamaged: stored records cannot be read. The damaged file is left as it is.
	ErrDamaged = errors.New("log is damaged")
)

// Options of the broker.
type Options struct {
	Dir     string       // data folder, private to this user; created if missing
	Address string       // host:port of one interface, DefaultAddress when empty; port 0 is a free port
	Logger  *slog.Logger // nil: silent
}

// Broker is a running broker.
type Broker struct {
	address string
	close   func() error
}

// Open starts the broker on the folder's data and returns once it serves. ctx bounds the opening only.
func Open(ctx context.Context, o Options) (*Broker, error) {
	if o.Dir == "" {
		return nil, errors.New("local broker: no data folder given")
	}
	if o.Address == "" {
		o.Address = DefaultAddress
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := MakePrivate(o.Dir, o.Logger); err != nil {
		return nil, fmt.Errorf("local broker: %w", err)
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	ln, err := listen(ctx, o.Address)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	b, err := open(ctx, o, lock, ln)
	if err != nil {
		return nil, errors.Join(err, ignoreClosed(ln.Close()), lock.Close())
	}
	return b, nil
}

func open(ctx context.Context, o Options, lock *flock.Flock, ln net.Listener) (*Broker, error) {
	size, err := repair(o.Dir, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("local broker: check folder %s: %w", o.Dir, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("local broker: open %s: %w", o.Dir, err)
	}
	log := &logger{slog: o.Logger}
	cluster, err := kfake.NewCluster(clusterOptions(o, log, ln)...)
	if err != nil {
		return nil, fmt.Errorf("local broker: open %s: %w", o.Dir, err)
	}
	guardRequests(cluster)
	if size > 16<<20 {
		debug.FreeOSMemory() // kfake has read the whole log; the heap would keep that size for minutes
	}
	return &Broker{address: ln.Addr().String(), close: sync.OnceValue(func() error {
		log.lastError.Store(nil)
		cluster.Close()
		err := lock.Close()
		if msg := log.lastError.Load(); msg != nil {
			err = errors.Join(errors.New(*msg), err)
		}
		if err != nil {
			return fmt.Errorf("local broker: close %s: %w", o.Dir, err)
		}
		return nil
	})}, nil
}

// century means never. kfake converts these settings into nanoseconds in an int64, which ends after 292 years.
const century = 100 * 365 * 24 * time.Hour

func clusterOptions(o Options, log kfake.Logger, ln net.Listener) []kfake.Opt {
	refused := func(from net.Addr, reason error) {
		o.Logger.Debug("local broker: closed a connection", "from", from.String(), "reason", reason)
	}
	return []kfake.Opt{
		kfake.SyncWrites(), // acknowledge what the disk has
		kfake.NumBrokers(1),
		kfake.DataDir(o.Dir),
		kfake.ClusterID("sipeat-local"),
		kfake.WithLogger(log),
		// kfake would listen on 127.0.0.1 only; it gets the open listener.
		kfake.ListenFn(func(string, string) (net.Listener, error) { return newGuard(ln, versions(), refused), nil }),
		kfake.MaxVersions(versions()),
		kfake.BrokerConfigs(map[string]string{
			// The cleaner's interval. The cleaner applies retention to all topics as soon as one declares any, and compaction deletes a
			// partition's files before it writes the new ones.
			"log.cleaner.backoff.ms":       fmt.Sprint(century.Milliseconds()),
			"log.retention.ms":             "-1",
			"log.retention.bytes":          "-1",
			"offsets.retention.minutes":    fmt.Sprint(int(century.Minutes())), // default 7 days
			"group.min.session.timeout.ms": "1000",                             // default 6 s
		}),
	}
}

// versions are Kafka's without those that kfake answers wrongly. Java's admin client fails on some answers; it then uses
// an older request.
func versions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 12) // 13 panics if two topics are unknown
	v.SetMaxKeyVersion(int16(kmsg.DescribeTopicPartitions), -1)
	v.SetMaxKeyVersion(int16(kmsg.CreateTopics), 4)
	v.SetMaxKeyVersion(int16(kmsg.ListGroups), 4)
	v.SetMaxKeyVersion(int16(kmsg.DeleteRecords),
		-1) // kfake restarts an emptied partition at offset 0, and groups would skip records
	return v
}

// Address is the host:port that the broker listens on and advertises.
func (b *Broker) Address() string { return b.address }

// Close writes everything to disk, stops serving and unlocks the folder. Further calls return the first result.
func (b *Broker) Close() error { return b.close() }

// ignoreClosed: kfake closes the listener itself when it cannot start.
func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
