import Collectives

extension Ranks {
    /// The rows of all ranks in rank order, [N, D], from this rank's, [n, D]. Collective.
    package func gatherRows(_ rows: Tensor, shares: Shares, device: Device) throws -> Tensor {
        let width = rows.shape[1]
        let all = device.tensor([shares.total, width])
        try gather(
            UnsafeRawBufferPointer(rows.elements), counts: shares.counts.map { $0 * width * 4 },
            into: UnsafeMutableRawBufferPointer(all.elements))
        return all
    }

    /// This rank's rows [n, D] of the sum over ranks of `all`, [N, D]. Collective.
    package func sumRowsScattered(_ all: Tensor, shares: Shares, device: Device) throws -> Tensor {
        let width = all.shape[1]
        let own = device.tensor([shares.own, width])
        try sumScattered(
            UnsafeBufferPointer(all.elements), counts: shares.counts.map { $0 * width }, into: own.elements)
        return own
    }
}
