package program

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tab is a tab of a headless Chromium with a profile of its own.
type tab struct {
	t      *testing.T
	ctx    context.Context
	mu     sync.Mutex
	errors []string // that the browser's console shows
}

// openTab skips the test unless BROWSER is the path of a Chromium. The test fails if the browser's console shows an error.
func openTab(t *testing.T) *tab {
	t.Helper()
	path := os.Getenv("BROWSER")
	if path == "" {
		t.Skip("set BROWSER to the path of a Chromium to run this in it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1200, 800), chromedp.WSURLReadTimeout(WaitTimeout))
	browser, stop := chromedp.NewExecAllocator(t.Context(), options...) // each step has its own limit
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	t.Cleanup(func() { assert.Empty(t, p.takeErrors()) })
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				p.errors = append(p.errors, e.Entry.Text)
			}
		case *runtime.EventExceptionThrown:
			p.errors = append(p.errors, e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" {
				p.errors = append(p.errors, fmt.Sprint(e.Args))
			}
		}
	}))
	return p
}

func (p *tab) takeErrors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.errors
	p.errors = nil
	return taken
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, WaitTimeout)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, steps...))
}

// eval is the value of an expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err, expression)
	return value
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// shows waits until the text of a visible element contains one.
func (p *tab) shows(selector, text string) {
	p.t.Helper()
	p.holds(fmt.Sprintf(`[...document.querySelectorAll(%q)].some(e => e.checkVisibility() && e.innerText.includes(%q))`,
		selector, text))
}

// holds waits until a condition is true.
func (p *tab) holds(condition string) {
	p.t.Helper()
	Until(p.t, func() error {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](condition))
		if ok && err == nil {
			return nil
		}
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		return fmt.Errorf("not true: %s (%w) in:\n%s\nerrors: %v", condition, err, text, p.errors)
	})
}

// press presses keys, one after the other.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// tabTo presses Tab until the element has the focus.
func (p *tab) tabTo(selector string) {
	p.t.Helper()
	for range 100 {
		if eval[bool](p, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			return
		}
		p.press(kb.Tab)
	}
	require.Fail(p.t, "the keyboard does not reach "+selector)
}

// fitsPhones shows the view at a width of 360 px: nothing is wider.
func (p *tab) fitsPhones(name string) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(360, 740))
	p.holds(`document.documentElement.scrollWidth <= 360`)
	p.picture(name + "-360")
	p.do(chromedp.EmulateViewport(1200, 800))
}

// pictures saves the view, light and dark, in the folder SCREENSHOTS, if it is set.
func (p *tab) pictures(name string) {
	p.t.Helper()
	scheme := func(value string) {
		_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
		require.NoError(p.t, err)
	}
	scheme("dark")
	p.picture(name + "-dark")
	scheme("light")
	p.picture(name)
}

func (p *tab) picture(name string) {
	p.t.Helper()
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600))
	}
}
