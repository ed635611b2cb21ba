package local

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func TestReopeningKeepsRecordsAndAdvertisesTheNewAddress(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "by-open")
	first := start(t, Options{Dir: dir})
	produce(t, first.Address(), 0, 5)
	require.NoError(t, first.Close())

	second := start(t, Options{Dir: dir})
	_, values := consume(t, second.Address())
	assert.Equal(t, numbers(0, 5), values)

	brokers, err := kadm.NewClient(client(t, second.Address())).ListBrokers(t.Context())
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	host, port, err := net.SplitHostPort(second.Address())
	require.NoError(t, err)
	assert.Equal(t, host, brokers[0].Host)
	assert.Equal(t, port, strconv.Itoa(int(brokers[0].Port)))
}

func TestTheFolderBecomesPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such rights")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	log, logged := captureLog()
	for range 2 {
		require.NoError(t, MakePrivate(dir, log))
	}
	assert.Equal(t, 1, strings.Count(logged.String(), "private now"))
	assert.Equal(t, os.FileMode(0o700), must(os.Stat(dir)).Mode().Perm())
}

func TestListensOnTheGivenHostOnly(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	_, port, err := net.SplitHostPort(b.Address())
	require.NoError(t, err)
	_, err = net.DialTimeout("tcp", "127.0.0.2:"+port, time.Second)
	assert.Error(t, err, "another loopback address")

	for _, everywhere := range []string{":9092", "0.0.0.0:9092", "[::]:9092"} {
		_, err := Open(t.Context(), Options{Dir: t.TempDir(), Address: everywhere})
		assert.ErrorContains(t, err, "must be a port of one interface", everywhere)
	}
}

func TestAnAddressInUseIsRefused(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer other.Close()
	dir := t.TempDir()
	_, err = Open(t.Context(), Options{Dir: dir, Address: other.Addr().String()})
	assert.ErrorContains(t, err, other.Addr().String())
	assert.ErrorContains(t, err, "choose another port")
	start(t, Options{Dir: dir})
}

func TestSecondProcessIsRefusedUntilTheFirstDies(t *testing.T) {
	dir := t.TempDir()
	_, kill := startChild(t, dir, "127.0.0.1:0")
	_, err := Open(t.Context(), Options{Dir: dir, Address: "127.0.0.1:0"})
	require.ErrorContains(t, err, "in use by another process: "+dir)
	kill()
	start(t, Options{Dir: dir})
}

func TestNothingExpires(t *testing.T) {
	b := start(t, Options{Dir: t.TempDir()})
	brokers, err := kadm.NewClient(client(t, b.Address())).DescribeBrokerConfigs(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, brokers, 1)
	have := map[string]string{}
	for _, c := range brokers[0].Configs {
		have[c.Key] = c.MaybeValue()
	}
	assert.Equal(t, "3153600000000", have["log.cleaner.backoff.ms"], "the cleaner applies retention, next in a hundred years")
	assert.Equal(t, "-1", have["log.retention.ms"])
	assert.Equal(t, "52560000", have["offsets.retention.minutes"])
}

func TestALargeLogIsReported(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, CheckLog(dir))
	require.NoError(t, os.MkdirAll(filepath.Dir(segmentFile(dir)), 0o700))
	require.NoError(t, os.WriteFile(segmentFile(dir), nil, 0o600))
	require.NoError(t, CheckLog(dir))
	require.NoError(t, os.Truncate(segmentFile(dir), maxLog)) // sparse
	assert.ErrorContains(t, CheckLog(dir), "1073 MB")
}
