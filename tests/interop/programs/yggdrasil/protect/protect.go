// Package protect stands in for suah.dev/protect, which some module proxies do not serve. Its functions restrict a
// process on OpenBSD and do nothing on other systems.
package protect

func Pledge(promises string) error { return nil }

func Unveil(path string, flags string) error { return nil }

func UnveilBlock() error { return nil }
