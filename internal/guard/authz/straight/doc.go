// Package straight decides plain policies without an interpreter.
//
// In: rules as OPA's compiler has left them, the input and the data. Out: what
// OPA's evaluator would say, or that this cannot be told here. Most policies are
// made of few things: members of the input and the data, comparisons,
// membership, other rules, a loop over a list. Those are turned into steps once,
// at load; a decision then costs what its comparisons cost. Whatever else a
// policy holds (functions, comprehensions, with, every, partial rules, built-in
// functions beyond a list) leaves the whole policy to OPA.
//
// It must never answer where OPA might say something else: an error, two values
// of one rule, data that cannot be read, a built-in function that refuses its
// operands, more steps than a decision should take — each of these is "cannot be
// told", and then OPA is asked. That the two agree is tested with policies that
// are made up.
package straight
