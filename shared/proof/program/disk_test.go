//go:build linux

package program

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
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
	doctor := func() Result { return Finish(t, set(s.fleet().command("doctor"), "SIPEAT_DATA="+data), "") }
	accepted := 0
	post := func(want int) {
		t.Helper()
		Until(t, func() error {
			a := Call(t, "POST", s.URL+"/contacts", contactWith(t, "name", fmt.Sprint("Number ", accepted)))
			if a.Status == http.StatusAccepted {
				accepted++
			}
			if a.Status != want {
				return fmt.Errorf("status %d", a.Status)
			}
			return nil
		})
	}
	for range 20 {
		post(http.StatusAccepted)
	}
	fillUp(t, filler)
	for range 10 {
		post(http.StatusServiceUnavailable) // a page that was begun has room for some
	}
	s.readiness(http.StatusServiceUnavailable, "disk")
	s.Says(s.Stderr, "disk full: ") // a request is logged once it is answered
	got := doctor()
	assert.Equal(t, 1, got.Status)
	assert.Regexp(t, `wrong +disk +\S+ +disk full: no 4 MiB free in `+data, got.Stdout)

	require.NoError(t, os.Remove(filler))
	for range 20 {
		post(http.StatusAccepted)
	}
	s.readiness(http.StatusOK, "")
	assert.Regexp(t, `ok +disk `, doctor().Stdout)
	Handled(t, s.Kafka, "contact-created")
	s.Kill()

	s = serve(t, data)
	names := map[string]bool{}
	for _, r := range Records(t, s.Kafka, "contact-created") {
		names[Decoded[struct{ Data struct{ Name string } }](t, string(r.Value)).Data.Name] = true
	}
	for n := range accepted {
		assert.True(t, names[fmt.Sprint("Number ", n)], n)
	}
	s.Stop(syscall.SIGTERM)

	fillUp(t, filler)
	refused := Run(t, "", "serve", "--data", data)
	assert.Equal(t, 1, refused.Status)
	assert.Contains(t, refused.Stderr, "cannot be read or written: the disk is full, or has a fault")
}
