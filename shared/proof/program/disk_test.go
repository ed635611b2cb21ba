//go:build linux

package program

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallDisk mounts a file system of 16 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=16m"); errors.Is(err, syscall.EPERM) {
		t.Skip("mounting a file system takes root")
	} else {
		require.NoError(t, err)
	}
	t.Cleanup(func() { assert.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fillUp writes a file until the disk is full.
func fillUp(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	for _, size := range []int{64 << 10, 1} {
		for err = nil; err == nil; _, err = f.Write(make([]byte, size)) {
		}
		require.ErrorIs(t, err, syscall.ENOSPC)
	}
}

func TestServeReportsAFullDiskAndRecovers(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t)
	data, filler := filepath.Join(disk, "sipeat"), filepath.Join(disk, "filler")
	s := serve(t, data)
	post := func(n int) int {
		resp, err := http.Post(s.URL+"/contacts", "application/json",
			strings.NewReader(with(t, AContact, map[string]any{"name": fmt.Sprintf("Number %d", n)})))
		require.NoError(t, err)
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	ready := func() (status int, body string) {
		resp, err := http.Get(s.URL + "/readyz")
		require.NoError(t, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(raw)
	}
	doctor := func() Result {
		c := command(t, "doctor", "--brokers", s.Kafka)
		c.Env = append(c.Env, "SIPEAT_DATA="+data, "STORE="+filepath.Join(data, "read-model.db"))
		return Finish(t, c, "")
	}
	accepted := 0
	for range 20 {
		require.Equal(t, http.StatusAccepted, post(accepted))
		accepted++
	}
	fillUp(t, filler)
	refused := 0
	Until(t, func() error {
		switch status := post(accepted); status {
		case http.StatusAccepted: // a page that was begun has room for some
			accepted++
			return errors.New("there is still room")
		case http.StatusServiceUnavailable:
			if refused++; refused < 10 {
				return errors.New("again")
			}
			return nil
		default:
			return fmt.Errorf("status %d", status)
		}
	})
	Until(t, func() error { // an earlier outcome counts for a second
		if status, body := ready(); status != http.StatusServiceUnavailable {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	_, body := ready()
	assert.Contains(t, body, "disk")
	assert.Contains(t, s.Stderr.String(), "disk full: ")
	got := doctor()
	assert.Equal(t, 1, got.Status)
	assert.Regexp(t, `wrong +disk +\S+ +disk full: \d+ bytes free in `+data, got.Stdout)

	require.NoError(t, os.Remove(filler))
	for range 20 {
		Until(t, func() error {
			if status := post(accepted); status != http.StatusAccepted {
				return fmt.Errorf("status %d", status)
			}
			return nil
		})
		accepted++
	}
	Until(t, func() error {
		if status, body := ready(); status != http.StatusOK {
			return fmt.Errorf("status %d: %s", status, body)
		}
		return nil
	})
	assert.Regexp(t, `ok +disk `, doctor().Stdout)
	Handled(t, s.Kafka, Groups["contact-created"], "contact-created")
	before := committed(t, s.Kafka, Groups["contact-created"], "contact-created")
	s.Kill()

	s = serve(t, data)
	names := map[string]bool{}
	for _, r := range Records(t, s.Kafka, "contact-created") {
		names[Decoded[struct{ Data struct{ Name string } }](t, string(r.Value)).Data.Name] = true
	}
	for n := range accepted {
		assert.True(t, names[fmt.Sprintf("Number %d", n)], n)
	}
	for partition, offset := range before {
		assert.GreaterOrEqual(t, committed(t, s.Kafka, Groups["contact-created"], "contact-created")[partition], offset)
	}
}
