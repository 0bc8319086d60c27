// js-libp2p wants Node 22; of what that has and Node 20 has not it uses this (ECMAScript 2024).
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new this((yes, no) => ([resolve, reject] = [yes, no]))
  return { promise, resolve, reject }
}
