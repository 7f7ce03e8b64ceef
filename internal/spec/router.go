package spec

// router finds the operation of a method, host and path.
type router struct{}
