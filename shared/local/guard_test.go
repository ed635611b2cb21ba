package local

import (
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
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

func TestHalfRequestsTakeBoundedMemory(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	half := frame(int16(kmsg.Produce), 9, []byte("\x00\xff\xff\x00\x00\x00\x01\x02"))
	binary.BigEndian.PutUint32(half, maxProduce)
	half = append(half, make([]byte, peekSize)...)
	for range 12 { // 1.2 GB are declared
		_, err := dial(t, b.Address()).Write(half)
		require.NoError(t, err)
	}
	produce(t, b.Address(), 0, 10)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	assert.Less(t, m.HeapAlloc, uint64(500<<20))
}

// kfake keeps what a connection last sent if it shows it to a control function.
func TestClosedConnectionsTakeNoMemory(t *testing.T) {
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	b := start(t, Options{Dir: t.TempDir()})
	before := held()
	r := kmsg.NewPtrMetadataRequest()
	name := strings.Repeat("x", 30_000)
	for range 30 {
		r.Topics = append(r.Topics, kmsg.MetadataRequestTopic{Topic: &name})
	}
	for range 40 { // 36 MB
		conn := dial(t, b.Address())
		_, err := conn.Write(encode(r))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, make([]byte, 8))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	assert.Eventually(t, func() bool { return held() < before+18<<20 }, 10*time.Second, 10*time.Millisecond)
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

// These are well formed, and kfake does not survive them.
func TestHarmfulRequestsCloseTheConnection(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	repeated := kmsg.NewPtrJoinGroupRequest()
	repeated.Group, repeated.ProtocolType = "g", "consumer"
	repeated.SessionTimeoutMillis, repeated.RebalanceTimeoutMillis = 6000, 6000
	repeated.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}, {Name: "range"}}
	large := kmsg.NewPtrCreateTopicsRequest()
	large.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "large", NumPartitions: math.MaxInt32, ReplicationFactor: 1}}
	grown := kmsg.NewPtrCreatePartitionsRequest()
	grown.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: topic, Count: math.MaxInt32}}
	for range 2 {
		for _, r := range []kmsg.Request{repeated, large, grown} {
			requireCloses(t, b.Address(), encode(r))
		}
	}
	requireAnswers(t, b.Address())
}

// FuzzGuard sends bytes to a broker, which must still answer afterwards.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x0e\x7f\xff\x00\x00\x00\x00\x00\x01\x00\x04evil"} {
		f.Add([]byte(s))
	}
	f.Add(encode(unknownTopics()))
	random := rand.New(rand.NewPCG(1, 2))
	for key := range int16(kmsg.MaxKey + 1) {
		if newest, known := versions().LookupMaxKeyVersion(key); known && newest >= 0 && kmsg.RequestForKey(key) != nil {
			for _, version := range []int16{0, newest / 2, newest} {
				r := kmsg.RequestForKey(key)
				fill(reflect.ValueOf(r).Elem(), random)
				r.SetVersion(version)
				f.Add(encode(r))
			}
		}
	}
	var b *Broker
	sent := 0
	root := f.TempDir()
	f.Cleanup(func() {
		if b != nil {
			assert.NoError(f, b.Close())
		}
	})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if sent%2000 == 0 { // a new broker, since requests may fill memory
			if b != nil {
				require.NoError(t, b.Close())
			}
			dir, err := os.MkdirTemp(root, "")
			require.NoError(t, err)
			b, err = Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
			require.NoError(t, err)
			require.NoError(t, makeTopic(t.Context(), b.Address()))
		}
		sent++
		conn := dial(t, b.Address())
		require.NoError(t, conn.SetDeadline(time.Now().Add(100*time.Millisecond))) // a fetch may wait for longer
		if _, err := conn.Write(bytes); err == nil && conn.CloseWrite() == nil {
			_, _ = io.Copy(io.Discard, conn) // until the broker has taken all of it
		}
		conn.Close()
		requireAnswers(t, b.Address())
	})
}

// fill sets the fields of a request to values that are likely to be odd together.
func fill(v reflect.Value, random *rand.Rand) {
	pick := func(n int) int { return random.IntN(n) }
	switch v.Kind() {
	case reflect.Pointer:
		if pick(4) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), random)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Type().Field(i).IsExported() && name != "UnknownTags" && name != "Version" {
				fill(v.Field(i), random)
			}
		}
	case reflect.Slice:
		n := pick(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), random)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), random)
		}
	case reflect.String:
		v.SetString([]string{"", topic, "g", "range", "consumer", "retention.ms", "-5", "x\x00"}[pick(8)])
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt([]int64{0, 1, 2, 3, 1000, -1, -2, math.MaxInt32, math.MaxInt64, math.MinInt64}[pick(10)])
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(pick(3)))
	case reflect.Bool:
		v.SetBool(pick(2) == 0)
	case reflect.Float64:
		v.SetFloat(random.NormFloat64())
	}
}
