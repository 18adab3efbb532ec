/// All image files of a folder and those below it.
struct ImageTree {
    /// Paths: a folder's own files first, then those of each folder in it. Links that lead back are not followed.
    private(set) var files: [String] = []
    var leftOut = LeftOut()

    init(_ folder: String) throws {
        try FolderListing.searching(folder) { _ in _ = try visit(folder, parents: []) }
    }

    /// Returns the number of files found; nil where the folder is one of its parents.
    private mutating func visit(_ folder: String, parents: [FolderIdentity]) throws -> Int? {
        let identity = try FolderIdentity(Array(folder.utf8))
        if parents.contains(identity) { return nil }
        let listing = try FolderListing(folder)
        leftOut.add(listing.leftOut)
        files += listing.images.map { join(folder, $0) }
        var count = listing.images.count
        var barren: [String] = []
        for name in listing.folders {
            let path = join(folder, name)
            guard let own = try visit(path, parents: parents + [identity]) else { continue }
            if own == 0 { barren.append(printable(path.utf8)) }
            count += own
        }
        if count > 0 || parents.isEmpty { leftOut.barren += barren }  // otherwise the folder itself is barren
        return count
    }
}
