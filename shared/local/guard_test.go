package local

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// frame encodes a request with a client ID and the given body.
func frame(key, version int16, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = append(b, 0, 0, 0, 7, 0, 1, 'c')
	if r := kmsg.RequestForKey(key); r != nil {
		if r.SetVersion(version); r.IsFlexible() {
			b = append(b, 0)
		}
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func encode(r kmsg.Request) []byte { return frame(r.Key(), r.GetVersion(), r.AppendTo(nil)) }

func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn.(*net.TCPConn)
}

// requireAnswers requires that the broker handles a request.
func requireAnswers(t testing.TB, address string) {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	_, err := conn.Write(encode(kmsg.NewPtrApiVersionsRequest()))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, 8))
	require.NoError(t, err)
}

// requireCloses requires that the broker closes a connection that sends this, without an answer.
func requireCloses(t testing.TB, address string, sent []byte) {
	t.Helper()
	conn := dial(t, address)
	defer conn.Close()
	_, err := conn.Write(sent)
	require.NoError(t, err)
	n, err := conn.Read(make([]byte, 1)) // a reset if the broker has not read all
	assert.Zero(t, n, "%q", sent)
	assert.Error(t, err)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "%q", sent)
}

// unknownTopics is a request to produce to two topics that do not exist, which makes kfake panic from version 13 on.
func unknownTopics() *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks = 13, -1
	for id := range byte(2) {
		topic := kmsg.NewProduceRequestTopic()
		topic.TopicID[0] = id + 1
		topic.Partitions = append(topic.Partitions, kmsg.NewProduceRequestTopicPartition())
		r.Topics = append(r.Topics, topic)
	}
	return r
}

func TestForeignConnectionsAreClosed(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	for _, sent := range []string{
		"GET / HTTP/1.1\r\nHost: 127.0.0.1:9092\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"\x00\x00\x00\x0e\x7f\xff\x00\x00\x00\x00\x00\x01\x00\x04evil",
		string(frame(-1, 0, nil)),
		string(frame(int16(kmsg.Metadata), 99, nil)),
		string(frame(int16(kmsg.Metadata), -1, nil)),
		"\x00\x00\x00\x02\x00\x03\x00\x00",
		"\x06\x40\x00\x01\x00\x00\x00\x09",
		"\x00\x10\x00\x01\x00\x03\x00\x09",
		string(frame(int16(kmsg.Produce), 8, nil)),
		string(frame(int16(kmsg.Produce), 12, []byte("\x00\xff\xff\x00\x00\x00\x01\xff\xff\xff\x07"))), // too many topics
		string(frame(int16(kmsg.Metadata), 12, []byte{0xff, 0xff})),
		string(encode(unknownTopics())),
	} {
		for range 8 {
			requireCloses(t, b.Address(), []byte(sent))
		}
	}
	assert.Less(t, allocated()-before, uint64(64<<20))
	requireAnswers(t, b.Address())
}

func TestNewerClientsLearnTheVersionOfApiVersions(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	conn := dial(t, b.Address())
	newer := kmsg.NewPtrApiVersionsRequest()
	newer.Version, newer.ClientSoftwareName, newer.ClientSoftwareVersion = 30, "apache-kafka-java", "9.0.0"
	_, err := conn.Write(encode(newer))
	require.NoError(t, err)
	answer := make([]byte, 10)
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	assert.Equal(t, kerr.UnsupportedVersion.Code, int16(binary.BigEndian.Uint16(answer[8:])))
}

func TestLargeBatchesPassTheGuard(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	limit := "20000000"
	adm := kadm.NewClient(client(t, b.Address()))
	_, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &limit}, "large")
	require.NoError(t, err)
	cl := client(t, b.Address(), kgo.ProducerBatchMaxBytes(20_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	large := make([]byte, 19_000_000)
	for range 3 {
		require.NoError(t, cl.ProduceSync(within(t, 20*time.Second), &kgo.Record{Topic: "large", Value: large}).FirstErr())
	}
}

// shortOfFiles is a listener whose first Accept fails.
type shortOfFiles struct {
	net.Listener
	failed bool
}

func (l *shortOfFiles) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, syscall.EMFILE
	}
	return l.Listener.Accept()
}

func TestAFailedAcceptIsTriedAgain(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	log, logged := captureLog()
	g := newGuard(&shortOfFiles{Listener: ln}, newSyncer(t.TempDir(), log), log)
	dial(t, ln.Addr().String())
	conn, err := g.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	assert.Contains(t, logged.String(), "too many open files")
	require.NoError(t, g.Close())
	_, err = g.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// A batch that could not be written is not acknowledged when its client, which got no answer, sends it again.
func TestAnUnwrittenBatchIsNotTakenForARepeat(t *testing.T) {
	o := Options{Dir: t.TempDir(), Address: free(t)}
	b, err := Open(t.Context(), o)
	require.NoError(t, err)
	defer b.Close()
	require.NoError(t, makeTopic(t.Context(), b.Address()))
	pid, epoch, err := client(t, b.Address()).ProducerID(t.Context())
	require.NoError(t, err)
	record := kmsg.Record{Value: []byte("v")}
	record.Length = int32(len(record.AppendTo(nil)) - 1)
	batch := kmsg.RecordBatch{Magic: 2, ProducerID: pid, ProducerEpoch: epoch, NumRecords: 1, Records: record.AppendTo(nil)}
	batch.Length = int32(len(batch.AppendTo(nil)) - lengthEnd)
	batch.CRC = int32(crc32.Checksum(batch.AppendTo(nil)[attributesAt:], castagnoli))
	request := kmsg.NewPtrProduceRequest()
	request.Version, request.Acks, request.TimeoutMillis = 9, -1, 1000
	request.Topics = append(request.Topics, kmsg.NewProduceRequestTopic())
	request.Topics[0].Topic = topic
	for n := range int32(2) { // 0 can be written, and is to be synced
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = n, batch.AppendTo(nil)
		request.Topics[0].Partitions = append(request.Topics[0].Partitions, partition)
	}
	inTheWay := filepath.Join(o.Dir, "partitions", topic+"-1")
	require.NoError(t, os.MkdirAll(filepath.Dir(inTheWay), 0o700))
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))
	produce(t, b.Address(), 0, 1) // to 0: its segment is there
	exchange := func(file *os.File) *os.File {
		b.files.turn.Lock()
		defer b.files.turn.Unlock()
		before := b.files.journal.file
		b.files.journal.file = file
		return before
	}

	journal := exchange(nil)
	requireCloses(t, b.Address(), encode(request))
	exchange(journal)
	require.NoError(t, os.Remove(inTheWay))
	requireCloses(t, b.Address(), encode(request))

	require.ErrorIs(t, b.Close(), errUnwritten)
	b, err = Open(t.Context(), o)
	require.NoError(t, err)
	defer b.Close()
	requireAnswers(t, b.Address())
}
