//go:build race

package program

const RaceDetector = true
